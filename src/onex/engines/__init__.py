"""What drives a worker or another program, one file a level."""
