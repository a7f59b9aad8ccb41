"""Reading of files that a mapping describes, column by column."""
