"""Calls: a SIP session and its media, seen as one thing."""
