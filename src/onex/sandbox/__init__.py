"""Permissions as rules of the kernel: what confines the process of a node (Linux)."""
