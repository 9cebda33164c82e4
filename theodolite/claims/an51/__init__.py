"""Alignment Newsletter 51, July 2018."""
