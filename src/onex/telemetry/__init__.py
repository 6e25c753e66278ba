"""Measurements, health checks, logs and traces: what parts of the registry say of their work."""
