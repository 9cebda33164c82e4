"""The contract of host environments: batched, NumPy in and out, same-step resets. Adapters live in `envs`."""

from typing import Protocol, runtime_checkable

import numpy as np

from theodolite.core.env import Space, Step


@runtime_checkable
class HostEnv(Protocol):
    """`num_envs` copies of an environment outside JAX.

    `step` resets every copy whose episode ended in the same call: its `Step.last_obs` holds the true final observation
    of the ended episode and `Step.obs` the first of the next, so no dead transition exists. All fields are NumPy arrays
    with a leading axis E: obs and last_obs in the space's dtype, reward float32, terminated and truncated bool, never
    both true. Arrays once handed out are never written again.
    """

    id: str
    num_envs: int
    space: Space

    def reset(self, seed: int) -> np.ndarray:
        """Start every copy anew, with seeds derived from `seed`; the first observations, [E, *obs]."""
        ...

    def step(self, action: np.ndarray) -> Step:
        """Act in every copy; actions [E, ...]. Bounded continuous actions are clipped to the box here."""
        ...

    def close(self) -> None:
        """Free what the copies hold."""
        ...
