"""Rooms with cells whose reward is noise, as tables and as an environment that samples from them.

A map has one character per cell: w wall, f noisy, g goal, s start; starts are uniform over all other cells where no s
is drawn. Arriving at the goal pays and ends the episode, arriving at a noisy cell pays zero-mean noise, all else
nothing. With probability `slip` a move is replaced by a uniform move to an adjacent free cell.

    frozen      the four rooms of Jain et al. 2018: 104 cells, 15 noisy ones round the upper doorway
    noisy-tv    our mirror image of it: the noise is harmless and lies on the only short way
"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import Arrays, PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step
from theodolite.core.errors import UserError, unknown
from theodolite.core.tabular import MDP

Noise = Literal["normal", "uniform"]
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left, right, as (row, column)."""
MAPS = {
    "frozen": (
        "wwwwwwwwwwwww",
        "w     w     w",
        "w   ffwff   w",
        "w  fffffff  w",
        "w   ffwff   w",
        "w     w     w",
        "ww wwww     w",
        "w     wwwgwww",
        "w     w     w",
        "w     w     w",
        "w           w",
        "w     w     w",
        "wwwwwwwwwwwww",
    ),
    "noisy-tv": (
        "wwwwwwwwwwwww",
        "wsssssw     w",
        "wsssssw     w",
        "wsssssf    gw",
        "wsssssw     w",
        "wsssssw     w",
        "w wwwwwwwww w",
        "w wwwwwwwww w",
        "w           w",
        "wwwwwwwwwwwww",
    ),
}


class World(Arrays):
    """A finite world whose rewards belong to the state that is arrived at."""

    mdp: MDP
    mean: Float[Array, " S"]
    """Expected reward for arriving."""
    spread: Float[Array, " S"]
    """Standard deviation of that reward."""
    terminal: Bool[Array, " S"]
    """Arriving ends the episode."""
    cells: Int[Array, "S 2"]
    """Row and column on the map."""
    drawing: tuple[str, ...] = eqx.field(static=True)
    noise: Noise = eqx.field(static=True)

    @property
    def noisy(self) -> Bool[Array, " S"]:
        """Where the reward is a matter of chance."""
        return self.spread > 0


def rooms(
    name: str = "frozen", *, noise: Noise = "normal", scale: float = 15.0, slip: float = 0.2, discount: float = 0.99
) -> World:
    """A world by name. Normal noise has standard deviation `scale`; uniform noise lies between ± `scale`.

    Raises:
        UserError: unknown name or law, a slip that is no probability, or a negative scale.
    """
    if name not in MAPS:
        raise unknown("world", name, MAPS, f"The worlds are {', '.join(MAPS)}.")
    if noise not in ("normal", "uniform"):
        raise UserError(f"noise = {noise!r}: must be normal or uniform. It is the law of the reward in noisy cells.")
    if not 0 <= slip <= 1:
        raise UserError(f"slip = {slip}: must lie between 0 and 1. It is the probability of a random move.")
    if not scale >= 0:
        raise UserError(f"scale = {scale}: must be >= 0. It is how far the reward of noisy cells spreads.")
    chars = np.array([list(line) for line in MAPS[name]])
    cells = np.argwhere(chars != "w")
    kind = chars[tuple(cells.T)]
    start = (kind == "s" if (kind == "s").any() else kind != "g").astype(float)
    spread = scale * (kind == "f") / (3**0.5 if noise == "uniform" else 1.0)
    mdp = MDP(*(jnp.asarray(x) for x in (_transition(cells, kind == "g", slip), start / start.sum(), discount)))
    mean, spreads, terminal, places = (jnp.asarray(x) for x in (50.0 * (kind == "g"), spread, kind == "g", cells))
    return World(mdp, mean, spreads, terminal, places, MAPS[name], noise)


def _transition(cells: np.ndarray, goal: np.ndarray, slip: float) -> Float[np.ndarray, "S A S"]:
    index = {(int(r), int(c)): i for i, (r, c) in enumerate(cells)}
    found = np.zeros((len(cells), len(MOVES), len(cells)))
    for (row, column), s in index.items():
        aimed = [index.get((row + dr, column + dc)) for dr, dc in MOVES]
        around = [to for to in aimed if to is not None]
        for action, to in enumerate(aimed):
            found[s, action, s if to is None else to] += 1 - slip
            for neighbour in around:
                found[s, action, neighbour] += slip / len(around)
        if goal[s]:
            found[s] = np.eye(len(cells))[s]
    return found


def successors(
    transition: Float[Array, "S A S"],
) -> tuple[Int[np.ndarray, "S A K"], Float[np.ndarray, "S A K-1"]]:
    """The states that may follow each pair, and the cumulative probabilities that part them."""
    table = np.asarray(transition, float)
    most = int((table > 0).sum(-1).max())
    order = np.argsort(-table, axis=-1, kind="stable")[..., :most]
    return order, np.cumsum(np.take_along_axis(table, order, -1), -1)[..., :-1]


def env(world: World) -> Env:
    """The world as an environment without a time limit; an observation is the number of the state."""
    follows, parted = successors(world.mdp.transition)
    follows, parted = jnp.asarray(follows, jnp.int32), jnp.asarray(parted, jnp.float32)
    starts = jnp.cumsum(jnp.asarray(world.mdp.initial, jnp.float32))[:-1]
    mean, spread = (jnp.asarray(x, jnp.float32) for x in (world.mean, world.spread))

    def reset(key: PRNGKey):
        state = jnp.sum(jax.random.uniform(key) >= starts, dtype=jnp.int32)
        return state, state

    def step(key: PRNGKey, state: Int[Array, ""], action: Array):
        move_key, noise_key = jax.random.split(key)
        which = jnp.sum(jax.random.uniform(move_key) >= parted[state, action], dtype=jnp.int32)
        after = follows[state, action, which]
        reward = mean[after] + spread[after] * _standard(world.noise, noise_key)
        return after, Step(after, reward, world.terminal[after], jnp.bool_(False), after)

    num_states, num_actions = world.mdp.transition.shape[:2]
    return Env(reset, step, Space(Box((), 0, num_states - 1, "int32"), Discrete(num_actions)))


def _standard(noise: Noise, key: PRNGKey) -> Float[Array, ""]:
    """A draw of mean 0 and variance 1."""
    return jax.random.normal(key) if noise == "normal" else jax.random.uniform(key, minval=-(3**0.5), maxval=3**0.5)
