"""Exact Gauss-Newton in reversible networks (arXiv 2411.07979)."""
