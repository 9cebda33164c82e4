"""Agent foundations: small exact models of the conceptual posts."""
