"""RTP (RFC 3550) and telephone events (RFC 4733), sans-I/O."""
