"""The WebSocket control protocol, sans-I/O."""
