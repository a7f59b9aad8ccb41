"""Experiments: what is trained on what, how, and what is recorded of it."""
