"""Conversations: who talks on an answered call, and when."""
