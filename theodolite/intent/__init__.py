"""Learning human intent."""
