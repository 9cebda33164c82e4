"""Strictness for every test: no implicit dtype or rank promotion, and each annotated shape is checked."""

import gc
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most programs run briefly, so they are compiled quickly: without optimisation and fusion emitters in a third of the
# time. Without fused multiply-adds (AVX has none) a formula rounds alike in whatever program it stands. One piece of
# code per program instead of up to 32 costs a tenth less: the other core has tests of its own.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX --xla_cpu_parallel_codegen_split_count=1",
)

import jax
import pytest
from jaxtyping import install_import_hook

pytest_plugins = ["browser", "commandline", "light"]
CHECKED = ("core", "envs", "control", "intent", "foundations", "interpret", "safety")
install_import_hook([f"theodolite.{part}" for part in CHECKED], "strict.check")

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure():
    """What one test compiled, later ones and the other process read."""
    from theodolite.core import compile_cache

    compile_cache.enable()


def pytest_collection_finish():
    """What was imported stays, and tracing makes much that dies at once: fewer collections do."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


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
