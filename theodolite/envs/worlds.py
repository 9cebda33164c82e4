"""The finite environments of ours as worlds that can be talked about, with what they pay and what is seen in them.

    grid(name)                    a world of `grids`: pays for what the agent arrives at, seen as a one-hot state
    of_mdp(P, p_0, r)             any finite decision process: its states are places s0, s1, ..., near is a step away

In a decision process the reward belongs to a state and an action. The world's states are therefore pairs of where the
agent is and what it was paid on the way there, so that every arrival has one reward; outcomes are the rewards' levels,
at most `LEVELS` of them, equal parts of the range where there are more different rewards. JAX is imported only where a
world is drawn at random.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import sparse

from theodolite.core.errors import UserError
from theodolite.envs import grids
from theodolite.envs.grids import World

LEVELS = 4
"""Outcomes of a decision process at most, beside being paid nothing."""


class Told(NamedTuple):
    """A world with what it pays for arriving at each state, and what an agent sees there."""

    world: World
    reward: Float[np.ndarray, " S"]
    obs: Float[np.ndarray, "S O"]


def grid(name: str = "ten", slip: float = 0.0, start: Sequence[int] | None = None) -> Told:
    """A grid world; observations are one-hot states.

    Raises:
        UserError: unknown name, slip that is no probability, or a start that is no free cell.
    """
    place = None if start is None else _cell(start)
    world = grids.grid(name, slip=float(slip), start=place)
    return Told(world, grids.rewards(world), np.eye(len(world.cells), dtype=np.float32))


def garnet(seed: int = 0, num_states: int = 16, num_actions: int = 4, branching: int = 4) -> Told:
    """A random decision process of `tabular.random_mdp`, which pays random rewards in a quarter of its states."""
    import jax

    from theodolite.envs import tabular

    mdp = tabular.random_mdp(jax.random.key(seed), num_states, num_actions, branching=branching)
    paid = np.random.default_rng(seed).uniform(-1, 1, (num_states, num_actions))
    paid[np.arange(num_states) % 4 > 0] = 0
    return of_mdp(np.asarray(mdp.transition), np.asarray(mdp.initial), paid, "garnet")


def loop(seed: int = 0, num_states: int = 16, num_actions: int = 4, deterministic: bool = False) -> Told:
    """A random decision process of Fu et al. 2018, which pays 1 in state 0, where one action stays."""
    import jax

    from theodolite.envs import tabular

    mdp, _ = tabular.rewarded_loop(jax.random.key(seed), num_states, num_actions, deterministic=bool(deterministic))
    paid = np.zeros((num_states, num_actions))
    paid[0] = 1
    return of_mdp(np.asarray(mdp.transition), np.asarray(mdp.initial), paid, "loop")


def of_mdp(
    transition: Float[np.ndarray, "S A S"],
    initial: Float[np.ndarray, " S"],
    reward: Float[np.ndarray, "S A"],
    name: str = "process",
) -> Told:
    """A decision process as a world."""
    transition, paid = transition.astype(float), reward.astype(float)
    num_states, num_actions = paid.shape
    transition = transition / transition.sum(-1, keepdims=True)  # in double precision, what float32 sums to 1 does not
    froms, actions, tos = np.nonzero(transition)
    pairs = np.stack([tos, paid[froms, actions]], 1)
    first = np.stack([np.arange(num_states), np.full(num_states, np.nan)], 1)  # where it starts, unpaid as yet
    known, index = np.unique(pairs, axis=0, return_inverse=True)
    where = np.concatenate([known[:, 0], first[:, 0]]).astype(int)
    reward_of = np.concatenate([known[:, 1], np.zeros(num_states)])
    to = np.zeros((num_states * num_actions, len(where)))
    np.add.at(to, (froms * num_actions + actions, index), transition[froms, actions, tos])
    rows = (where[:, None] * num_actions + np.arange(num_actions)).ravel()
    begin = np.concatenate([np.zeros(len(known)), initial.astype(float)])
    width = int(np.ceil(np.sqrt(num_states)))
    cells = np.stack([where % width, where // width], 1)
    stays = transition[np.arange(num_states), :, np.arange(num_states)] > 1 - 1e-9
    world = World(
        name, (), tuple(f"a{a}" for a in range(num_actions)), sparse.csr_array(to[rows]), int(begin.argmax()),
        cells, np.full_like(cells, -1), stays[where], _events(reward_of, np.arange(len(where)) < len(known)),
        _things(num_states, width), 0.0, begin / begin.sum(),
        {(s % width, s // width): f"s{s}" for s in range(num_states)}, _beside(transition, width),
    )  # fmt: skip
    return Told(world, reward_of, np.eye(num_states, dtype=np.float32)[where])


def _things(num_states: int, width: int) -> dict[str, np.ndarray]:
    """Every state by its name."""
    shape = width, -(-num_states // width)
    x, y = np.indices(shape)
    return {f"s{s}": (x == s % width) & (y == s // width) for s in range(num_states)}


def _beside(transition: np.ndarray, width: int) -> np.ndarray:
    """Which states an action may lead between, in either direction, as cells."""
    num_states = len(transition)
    linked = (transition > 0).any(1)
    linked = (linked | linked.T) & ~np.eye(num_states, dtype=bool)
    shape = width, -(-num_states // width)
    found = np.zeros((*shape, *shape), bool)
    x, y = np.arange(num_states) % width, np.arange(num_states) // width
    found[x[:, None], y[:, None], x[None], y[None]] = linked
    return found


def _events(reward: np.ndarray, arrived: np.ndarray) -> dict[str, np.ndarray]:
    """Outcome to the states that are it: each reward, or parts of the range of rewards."""
    found = {}
    levels = np.unique(reward[arrived & (reward != 0)])
    if len(levels) <= LEVELS:
        found = {f"be paid {level:g}": arrived & (reward == level) for level in levels}
    else:
        edges = np.linspace(levels[0], levels[-1], LEVELS + 1)
        part = np.searchsorted(edges[1:-1], reward, side="right")
        names = [f"be paid {low:.2f} to {high:.2f}" for low, high in pairwise(edges)]
        found = {name: arrived & (reward != 0) & (part == k) for k, name in enumerate(names)}
    return {**found, "be paid nothing": ~arrived | (reward == 0)}


def _cell(start: object) -> tuple[int, int]:
    if not isinstance(start, tuple | list) or len(start) != 2 or not all(type(v) is int for v in start):
        raise UserError(f"start = {start!r}: expected two whole numbers, such as start=[2,1].")
    return int(start[0]), int(start[1])


def monster_grid(slip: float = 0.0, start: Sequence[int] | None = None) -> Told:
    """The monster's grid."""
    return grid("monster-grid", slip, start)


def cliff(slip: float = 0.0, start: Sequence[int] | None = None) -> Told:
    """The cliff."""
    return grid("cliff", slip, start)


def ten(slip: float = 0.0, start: Sequence[int] | None = None) -> Told:
    """Ten by ten."""
    return grid("ten", slip, start)


WORLDS: dict[str, Callable[..., Told]] = {
    "MonsterGrid-v0": monster_grid, "CliffGrid-v0": cliff, "TenGrid-v0": ten, "Garnet-v0": garnet,
    "RewardedLoop-v0": loop,
}  # fmt: skip
"""By the ids under which they are registered as environments."""
LIMITS = {id: 200 if "Grid" in id else 100 for id in WORLDS}
"""Steps of an episode."""
SHORT = {"monster-grid": "MonsterGrid-v0", "cliff": "CliffGrid-v0", "ten": "TenGrid-v0", "garnet": "Garnet-v0",
         "loop": "RewardedLoop-v0"}  # fmt: skip
"""What they are called in conversation."""
