"""Retraining that nobody watches: from new order lines to a champion, and its schedule."""
