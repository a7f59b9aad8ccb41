"""A stored predictor with its past prepared once, for requests that must be answered at once."""
