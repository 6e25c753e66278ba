"""What runs inside the process of a node, and nothing else."""
