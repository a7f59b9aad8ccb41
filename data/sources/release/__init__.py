"""The six-table layout of ASOS GraphReturns: its columns, and how its rows become our tables."""
