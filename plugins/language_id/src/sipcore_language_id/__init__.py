"""Which language a text is in, for sipcore, by py3langid."""
