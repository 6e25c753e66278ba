"""Backup and restore of the whole of a registry."""
