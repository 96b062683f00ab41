"""Constants of physics, and of the libraries that compute."""

GRAVITY_M_S2 = 9.81

LIBRARY_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables with the number of threads of the numerical libraries."""
