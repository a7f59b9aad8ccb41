"""Mini-batch training beside full-batch: neighbour sampling over the graph of events."""
