"""Drivers that join the sans-I/O protocols to sockets and the clock."""
