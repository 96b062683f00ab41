"""Unified, explainable gait analysis: recordings to bodies to networks to what was pivotal."""

__version__ = "0.1.0"
