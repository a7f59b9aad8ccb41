"""Families of matrices in which an inverse Fisher matrix is sought."""
