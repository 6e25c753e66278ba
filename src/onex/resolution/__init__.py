"""The resolver on what is registered: caches that follow the log, overrides, the past, impact."""
