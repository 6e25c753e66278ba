"""What runs leave behind: the journal, artifacts, and what is told from them."""
