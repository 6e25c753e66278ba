"""Artifacts: files of results by their content, on this machine and in a shared store."""
