"""Sources: each turns files into the canonical tables."""
