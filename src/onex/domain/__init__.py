"""Values and rules of the registry. Nothing here reads, writes, waits or prints."""
