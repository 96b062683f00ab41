"""The type of arrays in signatures; their shape and unit stand beside it."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""Array of any shape."""
