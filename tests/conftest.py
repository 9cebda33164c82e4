"""Strictness for every test: no implicit dtype or rank promotion, and each annotated shape is checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook(["theodolite.core", "theodolite.envs", "theodolite.control", "theodolite.intent"], "strict.check")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def key() -> jax.Array:
    """One fixed key."""
    return jax.random.key(0)


@pytest.fixture
def little_optimisation():
    """Compile quickly, and to code that rounds alike wherever a formula stands: for programs that run briefly."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
