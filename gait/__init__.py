"""Explainable gait analysis: fit a statistical body to marker recordings, train gait classifiers, explain them."""

__version__ = "0.1.0"
