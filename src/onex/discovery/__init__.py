"""Finding nodes, wherever they come from, and telling the storage what changed."""
