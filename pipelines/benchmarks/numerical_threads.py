"""Where numerical libraries look for the number of their threads."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables, read when the libraries load; torch heeds MKL's before OpenMP's."""
