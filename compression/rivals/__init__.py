"""Curvature as other pruning methods estimate it, to compare the learned inverse with."""
