"""Lyle et al. 2019 where it is exact: means of learned distributions against the values of plain Q-learning.

    expected   Q ← Q + α (r + γ max Q' - Q)
    mixture    p ← (1 - α) p + α Π(r + γ Z')
    cdf        F ← F + α (F_target - F), the semi-gradient of the squared CDF distance in F
    pdf        p ← p + β CᵀC (p_target - p), the same distance's in p; C makes cumulative sums
    softmax    cross-entropy in logits: C51 with linear features

The projection Π keeps means as long as nothing is clipped at the ends: with rewards in [0, r] the atoms from 0 to
r / (1 - γ) see to it. Every rule sees the same random transitions and takes its own greedy action in its target. In
float64 the first three agree to rounding, on tables and with linear features; the last two do not follow.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.control.heads import project, support
from theodolite.core.arrays import PRNGKey
from theodolite.core.claim import Row, row
from theodolite.core.env import auto_reset
from theodolite.envs import classic

RULES = ("mixture", "cdf", "pdf", "softmax")
SIDE, ACTIONS = 12, 4
RATE = 0.1


class Stream(NamedTuple):
    """Features of states and of what followed, actions, rewards and ends; leading axis T."""

    x: Float[Array, "T D"]
    action: Array
    reward: Float[Array, " T"]
    over: Array
    next_x: Float[Array, "T D"]


class Case(NamedTuple):
    """A world: its discount, how many actions and atoms; its rewards lie in [0, 1]."""

    discount: float
    actions: int
    atoms: int

    @property
    def high(self) -> float:
        """Every return lies below: rewards are at most 1."""
        return 1 / (1 - self.discount)


CASES = {"grid, table": Case(0.9, ACTIONS, 41), "CartPole, Fourier": Case(0.9, 2, 41)}


def grid_stream(key: PRNGKey, steps: int) -> Stream:
    """A uniform walk on a 12 x 12 grid whose last cell pays 1 and sends back to a random one; states are one-hot."""
    moves = jnp.array([(-1, 0), (1, 0), (0, -1), (0, 1)])

    def one(at: Array, key: PRNGKey) -> tuple[Array, tuple]:
        move_key, start_key = jax.random.split(key)
        action = jax.random.randint(move_key, (), 0, ACTIONS)
        there = jnp.clip(at + moves[action], 0, SIDE - 1)
        over = jnp.all(there == SIDE - 1)
        again = jax.random.randint(start_key, (2,), 0, SIDE - 1)
        return jnp.where(over, again, there), (at, action, over, there)

    _, (at, action, over, there) = jax.lax.scan(one, jnp.zeros(2, int), jax.random.split(key, steps))
    index = lambda place: jax.nn.one_hot(place[:, 0] * SIDE + place[:, 1], SIDE**2, dtype=float)  # noqa: E731
    return Stream(index(at), action, over.astype(float), over, index(there))


def fourier(order: int, high: tuple[float, ...]) -> np.ndarray:
    """The coefficients c of cos(π c·s) but the constant one, for as many inputs as there are bounds. [D, inputs]"""
    grids = np.meshgrid(*[np.arange(order + 1)] * len(high), indexing="ij")
    return np.stack([g.ravel() for g in grids], -1)[1:]


def features(obs: Array, order: int, high: tuple[float, ...]) -> Array:
    """Fourier features of observations within ± their bounds; further ones count as the bound."""
    bound = jnp.asarray(high, obs.dtype)
    unit = (jnp.clip(obs / bound, -1, 1) + 1) / 2
    return jnp.cos(jnp.pi * unit @ jnp.asarray(fourier(order, high).T, obs.dtype))


CARTPOLE_BOUNDS = (2.4, 5.0, float(np.pi / 12), float(2 * np.pi))


def cartpole_stream(key: PRNGKey, steps: int) -> Stream:
    """Random pushes on CartPole, which pays 1 a step; features of order 2, scaled to length 1."""
    env = auto_reset(classic.cartpole())
    start_key, key = jax.random.split(key)
    state, obs = env.reset(start_key)

    def one(now: tuple, key: PRNGKey) -> tuple[tuple, tuple]:
        state, obs = now
        act_key, env_key = jax.random.split(key)
        action = jax.random.randint(act_key, (), 0, 2)
        state, out = env.step(env_key, state, action)
        return (state, out.obs), (obs, action, out.reward, out.terminated, out.last_obs)

    _, (obs, action, reward, over, last) = jax.lax.scan(one, (state, obs), jax.random.split(key, steps))
    x, next_x = (features(o.astype(float), 2, CARTPOLE_BOUNDS) for o in (obs, last))
    unit = lambda v: v / jnp.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    return Stream(unit(x), action, reward.astype(float), over, unit(next_x))


STREAMS = {"grid, table": grid_stream, "CartPole, Fourier": cartpole_stream}


class Weights(NamedTuple):
    """What every rule has learned: values [A, D], and the others [A, K, D]."""

    expected: Array
    mixture: Array
    cdf: Array
    pdf: Array
    softmax: Array


def nothing(case: Case, dim: int) -> Weights:
    """No value anywhere: all mass of every distribution lies at 0."""
    q, p = jnp.zeros((case.actions, dim)), jnp.zeros((case.actions, case.atoms, dim))
    return Weights(q, p, p, p, p)


def masses(case: Case, rule: str, w: Array, x: Array) -> Float[Array, "A K"]:
    """The signed masses that a rule predicts: learned changes of the point mass at 0, or a softmax."""
    out = w @ x
    point = jnp.zeros(case.atoms).at[0].set(1.0)
    if rule == "softmax":
        return jax.nn.softmax(out)
    if rule == "cdf":
        out = jnp.diff(out, axis=-1, prepend=0.0)
    return point[None] + out


def learned(case: Case, w: Weights, step: Any) -> tuple[Weights, Array]:
    """Every rule after one transition, and how far each one's value of it lies from the expected one's."""
    x, action, reward, over, next_x = step
    z, discount = support(case.atoms, 0.0, case.high), jnp.where(over, 0, case.discount)
    best = (w.expected @ next_x).max()
    error = reward + discount * best - w.expected[action] @ x
    after, gaps = {"expected": w.expected.at[action].add(RATE * error * x)}, []
    for rule in RULES:
        mine = getattr(w, rule)
        now, following = masses(case, rule, mine, x), masses(case, rule, mine, next_x)
        wanted = project(reward + discount * z, following[jnp.argmax(following @ z)], 0.0, case.high, case.atoms)
        slope = direction(case, rule, wanted - now[action])
        after[rule] = mine.at[action].add(slope[:, None] * x[None])
        gaps.append(jnp.abs(now[action] @ z - w.expected[action] @ x))
    return Weights(**after), jnp.stack(gaps)


def direction(case: Case, rule: str, error: Float[Array, " K"]) -> Float[Array, " K"]:
    """The change of what a rule stores that its step makes for an error in masses."""
    if rule == "cdf":
        return (RATE * jnp.cumsum(error)).at[-1].set(0.0)  # the last value of a CDF is 1
    if rule == "pdf":
        largest = (2 * case.atoms / np.pi) ** 2  # about the largest eigenvalue of CᵀC
        return RATE / largest * jnp.cumsum(jnp.cumsum(error)[::-1])[::-1]
    return RATE * error


@partial(jax.jit, static_argnums=(0, 2))
def departures(name: str, key: PRNGKey, steps: int) -> Float[Array, "T rules"]:
    """|mean of the rule - expected value| at every transition of a stream."""
    stream, case = STREAMS[name](key, steps), CASES[name]
    first = nothing(case, stream.x.shape[1])
    return jax.lax.scan(partial(learned, case), first, tuple(stream))[1]


def rows(name: str, seeds: tuple[int, ...], steps: int) -> list[Row]:
    """The largest departure of every rule, one row per seed, and its course in the first."""
    found = []
    with jax.enable_x64(True):
        for seed in seeds:
            gaps = np.asarray(departures(name, jax.random.fold_in(jax.random.key(51), seed), steps))
            window = max(1, steps // 20)
            at = np.arange(window, steps + 1, window)
            for i, rule in enumerate(RULES):
                largest = [gaps[:t, i].max() for t in at]
                curves = {"departure": (at, largest)} if seed == seeds[0] else None
                found.append(row(rule, name, seed, curves, departure=gaps[:, i].max()))
    return found
