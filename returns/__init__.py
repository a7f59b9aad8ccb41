"""Graph, models and evaluation of return prediction."""
