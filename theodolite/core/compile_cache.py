"""The persistent compilation cache: what one run compiled, the next one and every worker process reads from disk.

THEODOLITE_CACHE names another folder; empty, it switches the cache off.
"""

import os
from pathlib import Path


def folder() -> Path | None:
    """Where compiled programs are kept: under the user's cache folder, None when switched off."""
    chosen = os.environ.get("THEODOLITE_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "theodolite" / "jax"


def enable() -> Path | None:
    """Switch the cache on for this process and say where it is; every program counts, however small or quick."""
    place = folder()
    if place is None:
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return place
