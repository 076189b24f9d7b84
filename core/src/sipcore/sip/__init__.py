"""SIP (RFC 3261), sans-I/O: bytes and time in, bytes and events out."""
