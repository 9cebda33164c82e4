"""Parts of a batch on several devices at once; a CPU can stand for as many devices as it has cores.

A core that works through its own pictures from beginning to end is faster than cores that share every operation on
them: nothing waits, and what one operation leaves in the cache the next one finds there.
"""

import os
from collections.abc import Callable
from contextlib import suppress

import jax
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import PyTree

from theodolite.core.errors import UserError


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int | None:
    """Bytes of memory that the first device has, None where nothing says so."""
    said = jax.local_devices()[0].memory_stats()
    if said:
        return said.get("bytes_limit")
    known = hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(os.sysconf_names)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else None


def check_room(shapes: PyTree, copies: int = 1) -> None:
    """Refuse a run whose arrays alone, of which `shapes` tells, and of which there are `copies`, would fill the memory.

    Raises:
        UserError: they do.
    """
    needed, there = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes)), memory()
    if there is not None and copies * needed > there:
        raise UserError(
            f"the run's state takes {needed / 1e9:.1f} GB{' twice' * (copies > 1)}, and there are {there / 1e9:.1f} GB "
            "of memory. Take a smaller replay (a transition holds two observations, 56 KB of Atari), or fewer "
            "environments or seeds."
        )


def one_per_core() -> None:
    """Let the CPU be one device per core. Nothing happens if JAX has computed already, or somebody chose a number."""
    if getattr(jax.config, "jax_num_cpu_devices", -1) < 1:
        with suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())


def spread(f: Callable, shared: PyTree, *rows: PyTree) -> PyTree:
    """`f(shared, *rows)`, whose arguments and results have a leading axis B but for `shared`, in parts on all devices.

    `f` must treat every row for itself. As many devices take part as divide B.
    """
    batch = jax.tree.leaves(rows)[0].shape[0]
    number = next(n for n in range(min(jax.local_device_count(), batch), 0, -1) if batch % n == 0)
    if number == 1:
        return f(shared, *rows)
    mesh = jax.make_mesh((number,), ("part",), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:number])
    part, whole = PartitionSpec("part"), PartitionSpec()
    return jax.shard_map(f, mesh=mesh, in_specs=(whole, *(part for _ in rows)), out_specs=part)(shared, *rows)
