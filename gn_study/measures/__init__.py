"""What an update does to losses, kernels, representations and weights."""
