"""Seeing what was learned."""
