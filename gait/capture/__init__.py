"""Readers of marker recordings from any laboratory: positions in metres, y up, canonical marker names, NaN in gaps."""
