"""Where the registry and the history of runs are kept."""
