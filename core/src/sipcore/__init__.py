"""sipcore: phone calls that are answered by software."""

__version__ = "0.1.0"
