"""Text to speech in over a hundred languages for sipcore, by espeak-ng."""
