"""``onex.toml``, and what else decides how onex behaves in a folder."""
