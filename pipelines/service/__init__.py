"""The HTTP service that scores order lines: what `pipelines.serve` runs."""
