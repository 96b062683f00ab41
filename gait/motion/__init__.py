"""Movements on disk and in the common frame."""
