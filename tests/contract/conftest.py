import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def little_optimisation():
    """Compile quickly, and to code that rounds alike wherever a formula stands: what parity to the bit is about."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
