"""OpenAI's chat completions, and every server that speaks them, as sipcore's language model."""
