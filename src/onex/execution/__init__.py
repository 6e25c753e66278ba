"""Running what was resolved: scheduling, loading, isolation, results."""
