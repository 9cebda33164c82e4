"""Alignment Newsletter 17, July 2018."""
