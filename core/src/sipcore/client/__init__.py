"""The typed client of the WebSocket control protocol."""
