"""The synthetic twin of ASOS GraphReturns: a shop simulated, then released as the original was."""
