"""Speed and memory of the hot paths, each against a named alternative in one run."""
