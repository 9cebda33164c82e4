"""Preventing bad behaviour."""
