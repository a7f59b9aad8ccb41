"""Pruning with second-order curvature: the Surgeon and its rivals (arXiv 2412.02328)."""
