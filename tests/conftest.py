"""Strictness for every test: no implicit dtype or rank promotion, and each annotated shape is checked."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most programs run briefly, so they are compiled quickly: without optimisation and fusion emitters in a third of the
# time. Without fused multiply-adds (AVX has none) a formula rounds alike in whatever program it stands.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX")

import jax
import pytest
from jaxtyping import install_import_hook

pytest_plugins = ["browser", "commandline"]
CHECKED = ("core", "envs", "control", "intent", "foundations", "interpret", "safety")
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
