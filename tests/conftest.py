"""Strictness for every test: no implicit dtype or rank promotion, and each annotated shape is checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# most programs run briefly: compiled quickly, they also round alike wherever a formula stands
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest
from jaxtyping import install_import_hook

CHECKED = ("core", "envs", "control", "intent", "safety", "foundations", "interpret")
install_import_hook([f"theodolite.{part}" for part in CHECKED], "strict.check")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def key() -> jax.Array:
    """One fixed key."""
    return jax.random.key(0)


@pytest.fixture(scope="module")
def optimised():
    """Full optimisation, for modules whose programs run long."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
