"""Marker quality control: find errors in the marker data before they affect the fit, and classify them."""
