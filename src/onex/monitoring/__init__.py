"""Reads a registry for those who watch it: metrics of its state, health checks, statistics."""
