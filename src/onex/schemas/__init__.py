"""What may go into a node and come out of it: JSON Schema, paths and types of steps."""
