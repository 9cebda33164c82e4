"""Theodolite: the alignment literature, runnable."""

__version__ = "0.1.0"
