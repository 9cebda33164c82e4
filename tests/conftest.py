"""Strictness for every test: no implicit dtype or rank promotion, and each annotated shape is checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# most programs run briefly: compiled quickly, they also round alike wherever a formula stands
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")  # halves the time of compilation

import jax
import pytest
from jaxtyping import install_import_hook

pytest_plugins = ["browser", "commandline"]
CHECKED = ("core", "envs", "control", "intent", "foundations", "interpret")
install_import_hook([f"theodolite.{part}" for part in CHECKED], "strict.check")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture(scope="module", autouse=True)
def programs_end_with_their_file():
    """Compiled programs are dropped: each maps memory, and the kernel aborts a process with too many mappings."""
    yield
    jax.clear_caches()


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
