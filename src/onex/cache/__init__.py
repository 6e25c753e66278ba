"""Keeping answers that cost time to find."""
