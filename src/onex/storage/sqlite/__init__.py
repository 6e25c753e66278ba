"""Storage in SQLite files: needs no server, survives kill -9, shared by several processes."""
