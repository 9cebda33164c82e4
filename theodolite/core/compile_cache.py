"""The persistent compilation cache: what one run compiled, the next one and every worker process reads from disk.

THEODOLITE_CACHE names another folder; empty, it switches the cache off. JAX's own JAX_COMPILATION_CACHE_DIR is heeded.
"""

import os
from pathlib import Path


def home() -> Path | None:
    """Where what can be made again is kept: in the user's cache folder, None when switched off."""
    chosen = os.environ.get("THEODOLITE_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "theodolite"


def folder() -> Path | None:
    """Where compiled programs are kept."""
    if "THEODOLITE_CACHE" not in os.environ and "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    place = home()
    return None if place is None else place / "jax"


def enable() -> Path | None:
    """Switch the cache on for this process and say where it is; every program counts, however small or quick."""
    place = folder()
    if place is None:
        return None
    import jax

    chosen = getattr(jax.config, "jax_compilation_cache_dir", None)
    if chosen:  # by the program that we are part of
        return Path(chosen)
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return place


def environment() -> dict[str, str]:
    """The same as variables for a child process, which then needs no JAX to set it up."""
    place = folder()
    if place is None:
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(place),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
