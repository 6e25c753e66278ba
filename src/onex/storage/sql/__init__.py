"""What both databases have in common: one set of statements, one writer, one reader."""
