"""What the tables are and where they come from."""
