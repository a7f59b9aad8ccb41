"""Pruning studies: networks, their dense training, and tables of figures from loaded arrays."""
