"""Our own JAX tasks and the adapters to environments outside JAX."""
