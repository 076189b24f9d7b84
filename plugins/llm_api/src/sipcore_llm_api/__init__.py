"""A language model behind a plain HTTP API (JSON, NDJSON or server-sent events) for sipcore."""
