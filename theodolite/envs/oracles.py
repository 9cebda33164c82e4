"""The eight tabular domains of Fu et al. 2019 with their exact dynamics, and grids of any size.

    grid16 grid64      dense reward for nearness to a goal, walls, one action in twenty is random; random or one-hot
                       observations, `grid(size, sparse=True)` for others
    cliffwalk          a chain of 25: forward, or back to the start; the last state pays
    pendulum           swing-up on 32 x 32 cells of angle and velocity
    mountaincar        56 x 32 cells of position and velocity; the goal pays
    sparsegraph        500 states with random successors, one of which pays

All but grids and the pendulum pay 10 once and then are over: an absorbing state follows that pays nothing. Differences:
1. layouts and observations are drawn from a generator of ours, so walls stand elsewhere than in the authors' worlds;
2. candidates for the goal are free cells that can be reached; 3. the graph's goal is 5 to 9 steps from the start, since
most states of a graph that is drawn blindly are out of reach of an episode of 10; 4. a wall pays nothing.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Box, Discrete, Env, Space, Step
from theodolite.core.errors import UserError, unknown
from theodolite.core.oracle import Oracle, reachable
from theodolite.core.soft_planning import SparseMDP

DISCOUNT = 0.95
SLIP = 0.05
"""Probability that a uniform action takes the place of the chosen one in a grid."""
PRIZE = 10.0
MOVES = ((0, 0), (0, 1), (0, -1), (-1, 0), (1, 0))
"""Nothing, up, down, left, right."""
View = Literal["random", "onehot"]


def grid(size: int = 16, view: View = "random", horizon: int = 50, sparse: bool = False, seed: int = 0) -> Oracle:
    """A square with walls; the start is its centre, the goal the farthest of a quarter of the cells.

    Raises:
        UserError: a size below 3.
    """
    if size < 3:
        raise UserError(f"size = {size}: must be >= 3. It is the length of a side, in cells.")
    rng = np.random.default_rng(seed)
    cells = np.stack(np.divmod(np.arange(size * size), size), 1)
    start = size // 2 * size + size // 2
    others = np.delete(np.arange(size * size), start)
    wall = np.isin(np.arange(size * size), rng.choice(others, size * size // 5, replace=False))
    to = cells[:, None] + np.array(MOVES)
    inside = ((to >= 0) & (to < size)).all(-1)
    cell = np.where(inside, to[..., 0] * size + to[..., 1], 0)
    blocked = ~inside | wall[cell] | wall[:, None]
    following = np.where(blocked, np.arange(size * size)[:, None], cell)
    initial = _at(start, size * size)
    open_ = reachable(following[..., None], np.ones((*following.shape, 1)), initial)
    candidates = rng.choice(others, size * size // 4, replace=False)
    candidates = candidates[open_[candidates]]
    goal = candidates[np.argmax(np.linalg.norm(cells[candidates] - cells[start], axis=1))]
    distance = np.abs(cells - cells[goal]).sum(1)
    near = (distance == 0).astype(float) if sparse else np.maximum(0, 1 - distance / distance[start])
    reward = np.repeat(np.where(wall, 0, near)[:, None], len(MOVES), 1)
    successor = np.repeat(following[:, None], len(MOVES), 1)  # any of the moves may follow a slip
    probability = np.broadcast_to((1 - SLIP) * np.eye(len(MOVES)) + SLIP / len(MOVES), successor.shape)
    if view == "onehot":
        obs = np.concatenate([np.eye(size)[cells[:, 0]], np.eye(size)[cells[:, 1]]], 1)
    else:
        obs = rng.uniform(-1, 1, (size * size, size))
    return _oracle(f"grid{size}{view}", successor, probability, reward, initial, obs, horizon)


def cliffwalk(length: int = 25, seed: int = 0) -> Oracle:
    """Forward, or back to the start; forward from the last state pays."""
    states = np.arange(length)
    following = np.stack([np.zeros(length, int), np.minimum(states + 1, length - 1)], 1)
    reward = np.zeros((length, 2))
    reward[-1, 1] = 1
    obs = np.random.default_rng(seed).uniform(-1, 1, (length + 1, 16))
    return _absorbing("cliffwalk", following, reward, _at(0, length), obs, 50)


def pendulum(cells: int = 32, torques: int = 5) -> Oracle:
    """Swing-up; a state stands for the lower corner of its cell."""
    fastest, strongest, dt, gravity = 4.0, 3.0, 0.05, 10.0
    width, pace = 2 * np.pi / cells, 2 * fastest / cells
    angle = np.tile(-np.pi + width * np.arange(cells), cells)
    velocity = np.repeat(-fastest + pace * np.arange(cells), cells)
    torque = np.linspace(-strongest, strongest, torques)
    pull = -1.5 * gravity * np.sin(angle + np.pi)
    faster = velocity[:, None] + (pull[:, None] + 3 * torque[None]) * dt
    turned = (angle[:, None] + faster * dt + np.pi) % (2 * np.pi)
    kept = np.clip(faster, -fastest, fastest - 1e-8) + fastest
    following = _cell(turned, width, cells) + cells * _cell(kept, pace, cells)
    cost = angle[:, None] ** 2 + 0.1 * velocity[:, None] ** 2 + 0.001 * torque[None] ** 2
    worst = np.pi**2 + 0.1 * fastest**2 + 0.001 * strongest**2
    start = _cell(np.array(0.75 * np.pi), width, cells) + cells * (cells // 2)
    obs = np.stack([np.cos(angle), np.sin(angle), velocity], 1)
    once = np.ones((*following.shape, 1))
    return _oracle("pendulum", following[..., None], once, 1 - cost / worst, _at(start, cells**2), obs, 50)


def mountaincar(positions: int = 56, velocities: int = 32) -> Oracle:
    """Three steps of the car per action; a state stands for the lower corner of its cell, and the goal pays."""
    left, right, goal, fastest = -1.2, 0.55, 0.5, 0.06
    width, pace = (right - left) / positions, 2 * fastest / velocities
    x = np.repeat(np.tile(left + width * np.arange(positions), velocities)[:, None], 3, 1)
    v = np.repeat(np.repeat(-fastest + pace * np.arange(velocities), positions)[:, None], 3, 1)
    obs = np.stack([x[:, 0], v[:, 0]], 1)
    reward = (x >= goal).astype(float)
    for _ in range(3):
        v = np.clip(v + np.array([-0.001, 0, 0.001])[None] - 0.0025 * np.cos(3 * x), -fastest, fastest - 1e-8)
        x = np.clip(x + v, left, right - 1e-8)
        v = np.where((x == left) & (v < 0), 0, v)
    following = _cell(x - left, width, positions) + positions * _cell(v + fastest, pace, velocities)
    start = _cell(np.array(-0.5 - left), width, positions) + positions * (velocities // 2)
    obs = np.concatenate([obs, np.zeros((1, 2))])
    return _absorbing("mountaincar", following, reward, _at(start, positions * velocities), obs, 100)


def sparsegraph(num: int = 500, seed: int = 0) -> Oracle:
    """Action 0 stays, the others lead to random states; one state pays."""
    rng, actions, horizon = np.random.default_rng(seed), 3, 10
    following = rng.integers(0, num, (num, actions))
    following[:, 0] = np.arange(num)
    steps = np.full(num, num)
    steps[0] = 0
    for taken in range(horizon - 1):
        arrived = np.unique(following[steps == taken])
        steps[arrived] = np.minimum(steps[arrived], taken + 1)
    reward = np.zeros((num, actions))
    reward[rng.choice(np.flatnonzero((steps >= 5) & (steps < horizon)))] = 1
    obs = rng.uniform(-1, 1, (num + 1, 4))
    return _absorbing("sparsegraph", following, reward, _at(0, num), obs, horizon)


DOMAINS: dict[str, Callable[[], Oracle]] = {
    "grid16randomobs": partial(grid, 16, "random"), "grid16onehot": partial(grid, 16, "onehot"),
    "grid64randomobs": partial(grid, 64, "random", 100), "grid64onehot": partial(grid, 64, "onehot", 100),
    "cliffwalk": cliffwalk, "pendulum": pendulum, "mountaincar": mountaincar, "sparsegraph": sparsegraph,
}  # fmt: skip


@lru_cache
def domain(name: str) -> Oracle:
    """One of the eight by name.

    Raises:
        UserError: nothing has the name.
    """
    if name not in DOMAINS:
        raise unknown("domain", name, DOMAINS, f"The domains are {', '.join(DOMAINS)}.")
    return DOMAINS[name]()


def environment(o: Oracle) -> Env:
    """The world as an environment that never ends; wrap it in `time_limit` for episodes of `o.horizon` steps."""
    cumulative = jnp.cumsum(o.mdp.probability, -1)[..., :-1]
    obs = o.obs.astype(jnp.float32)
    low, high = float(jnp.min(obs)), float(jnp.max(obs))

    def reset(key: PRNGKey):
        state = jax.random.categorical(key, jnp.log(o.mdp.initial)).astype(jnp.int32)
        return state, obs[state]

    def step(key: PRNGKey, state: Int[Array, ""], action: Int[Array, ""]):
        drawn = jnp.sum(jax.random.uniform(key) >= cumulative[state, action])
        following = o.mdp.successor[state, action, drawn].astype(jnp.int32)
        paid = o.reward[state, action].astype(jnp.float32)
        return following, Step(obs[following], paid, jnp.bool_(False), jnp.bool_(False), obs[following])

    return Env(reset, step, Space(Box(obs.shape[1:], low, high), Discrete(o.num_actions)))


def _cell(x: Float[np.ndarray, "..."], width: float, num: int) -> Int[np.ndarray, "..."]:
    """Which cell of a width holds x >= 0."""
    return np.asarray(np.clip(np.floor(x / width), 0, num - 1), int)


def _at(state: SupportsIndex, num: int) -> Float[np.ndarray, " S"]:
    return (np.arange(num) == int(state)).astype(float)


def _absorbing(
    name: str, following: np.ndarray, reward: np.ndarray, initial: np.ndarray, obs: np.ndarray, horizon: int
) -> Oracle:
    """A deterministic world that is over once it has paid: the last state is the end, and pays nothing."""
    end, actions = len(following), following.shape[1]
    following = np.concatenate([np.where(reward > 0, end, following), np.full((1, actions), end)])
    reward = np.concatenate([PRIZE * (reward > 0), np.zeros((1, actions))])
    once = np.ones((*following.shape, 1))
    return _oracle(name, following[..., None], once, reward, np.append(initial, 0), obs, horizon)


def _oracle(
    name: str, successor: np.ndarray, probability: np.ndarray, reward: np.ndarray, initial: np.ndarray,
    obs: np.ndarray, horizon: int,
) -> Oracle:  # fmt: skip
    real = jnp.zeros(0).dtype
    mdp = SparseMDP(
        jnp.asarray(successor, jnp.int32), jnp.asarray(probability, real), jnp.ones(reward.shape, bool),
        jnp.asarray(initial, real), jnp.asarray(DISCOUNT, real),
    )  # fmt: skip
    seen = jnp.asarray(reachable(successor, probability, initial))
    return Oracle(mdp, jnp.asarray(reward, real), jnp.asarray(obs, real), seen, horizon, name)
