"""Alignment Newsletter 51, April 2019."""
