"""Who may do what: grants, and which sources are trusted."""
