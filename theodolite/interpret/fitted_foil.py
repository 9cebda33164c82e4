"""Policies for what a plan demands where nothing is finite: least-squares policy iteration on rollouts.

    Q(s, a) = w_a · φ(s),   φ = 1, s, s², and random cosines of three widths (Rahimi and Recht 2007)
    w       = (Φᵀ (Φ - γ Φ'_π) + λ)⁻¹ Φᵀ r,   π greedy for w                         (LSPI, Lagoudakis and Parr 2003)

Rewards are the agent's own, plus a bonus where a demanded place is reached, which ends it, or minus as much where a
forbidden one is met. Transitions come in rounds: first from the agent, then also from the policy that is being
fitted; both take random actions now and then, in every episode with other frequencies and another preference.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Env

DISCOUNT, RIDGE = 0.99, 1e-3
COSINES, WIDTHS = 120, (0.5, 1.0, 2.0)
"""Random features, and their widths in standard deviations of the observations."""
ROUNDS, EPISODES, STEPS, SWEEPS = 4, 128, 200, 8
"""Of gathering; episodes and steps of each; sweeps of policy iteration after each."""
KEPT = 10_000
"""Transitions at most that are fitted to."""
DEMAND = 3.0
"""What is demanded or forbidden counts this many times what can be paid at all."""
Acts = Callable[[Float[Array, "B O"]], Array]
Holds = Callable[[Float[Array, "B O"]], Bool[Array, " B"]]


class Basis(NamedTuple):
    """Features of observations."""

    middle: Float[Array, " O"]
    scale: Float[Array, " O"]
    frequencies: Float[Array, "O D"]
    phases: Float[Array, " D"]

    def __call__(self, obs: Float[Array, "B O"]) -> Float[Array, "B F"]:
        """Of each observation."""
        s = jnp.clip((obs - self.middle) / self.scale, -5, 5)
        cosines = jnp.cos(s @ self.frequencies + self.phases)
        return jnp.concatenate([jnp.ones_like(s[:, :1]), s, s**2 / 5, cosines], axis=1)


class Transitions(NamedTuple):
    """What was lived through; `pick` is the index of the action."""

    obs: Float[np.ndarray, "N O"]
    pick: Int[np.ndarray, " N"]
    reward: Float[np.ndarray, " N"]
    next_obs: Float[np.ndarray, "N O"]
    terminated: Bool[np.ndarray, " N"]


def fit(
    env: Env, own: Acts, table: Float[Array, "A *D"] | Int[Array, " A"], target: Holds, key: PRNGKey, *, reach: bool
) -> Acts:
    """The fitted policy: greedy among the actions of the table."""
    seen: list[Transitions] = []
    play = jax.jit(partial(_gather, env, own, table))
    basis, weights = None, None
    for round_key in jax.random.split(key, ROUNDS):
        if basis is None or weights is None:
            start = _basis(np.zeros((1, *env.space.obs.shape)), np.random.default_rng(0))
            seen.append(_rows(play(start, jnp.zeros((len(table), _size(start))), jnp.float32(0.0), round_key)))
            basis = _basis(seen[0].obs, np.random.default_rng(0))
        else:
            seen.append(_rows(play(basis, weights, jnp.float32(0.7), round_key)))
        weights = _iterate(basis, _joined(seen), target, len(table), reach=reach)
    return partial(_greedy, basis, weights, table)


def closest(table: Array, action: Array) -> Int[Array, " B"]:
    """The action of the table that is closest to each action."""
    apart = action[:, None] - table[None].astype(action.dtype)
    return jnp.argmin(jnp.abs(apart).reshape(len(action), len(table), -1).sum(-1), axis=1)


def _greedy(basis: Basis | None, weights: Array | None, table: Array, obs: Float[Array, "B O"]) -> Array:
    assert basis is not None and weights is not None
    return table[jnp.argmax(basis(obs) @ weights.T, axis=1)]


def _size(basis: Basis) -> int:
    return 1 + 2 * len(basis.middle) + len(basis.phases)


def _basis(obs: np.ndarray, rng: np.random.Generator) -> Basis:
    scale = obs.std(0) + (obs.std(0) < 1e-6)
    widths = np.repeat(WIDTHS, COSINES // len(WIDTHS))
    frequencies = rng.normal(size=(obs.shape[1], len(widths))) / widths
    found = obs.mean(0), scale, frequencies, rng.uniform(0, 2 * np.pi, len(widths))
    return Basis(*(jnp.asarray(x, jnp.float32) for x in found))


def _gather(env: Env, own: Acts, table: Array, basis: Basis, weights: Array, mix: Array, key: PRNGKey) -> tuple:
    """Columns of transitions [T, B] and whether each was before the end; a share `mix` of the episodes is greedy."""
    reset_key, odd_key, taste_key, play_key = jax.random.split(key, 4)
    odd = jax.random.uniform(odd_key, (EPISODES,)) ** 2
    taste = 1.5 * jax.random.normal(taste_key, (EPISODES, len(table)))
    fitting = jnp.arange(EPISODES) < mix * EPISODES

    def one(carry: tuple, t: Array) -> tuple[tuple, tuple]:
        state, obs, alive = carry
        pick_key, env_key, when_key = jax.random.split(jax.random.fold_in(play_key, t), 3)
        best = jnp.argmax(basis(obs) @ weights.T, axis=1)
        wanted = jnp.where(fitting, best, closest(table, own(obs)))
        strange = jax.random.uniform(when_key, (EPISODES,)) < odd
        pick = jnp.where(strange, jax.random.categorical(pick_key, taste), wanted)
        state, out = jax.vmap(env.step)(jax.random.split(env_key, EPISODES), state, table[pick])
        row = obs, pick, out.reward, out.last_obs, out.terminated, alive
        return (state, out.last_obs, alive & ~out.terminated & ~out.truncated), row

    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, EPISODES))
    return jax.lax.scan(one, (state, obs, jnp.ones(EPISODES, bool)), jnp.arange(STEPS))[1]


def _rows(columns: tuple) -> Transitions:
    flat = [np.asarray(x).reshape(-1, *x.shape[2:]) for x in columns]
    return Transitions(*(x[flat[-1]] for x in flat[:-1]))


def _joined(seen: list[Transitions]) -> Transitions:
    """All rounds, thinned to what can be fitted to."""
    whole = Transitions(*(np.concatenate(parts) for parts in zip(*seen, strict=True)))
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(whole.reward))[:KEPT]
    return Transitions(*(x[rows] for x in whole))


def _iterate(basis: Basis, data: Transitions, target: Holds, num_actions: int, *, reach: bool) -> Float[Array, "A F"]:
    """The weights at which policy iteration arrives."""
    met = np.asarray(target(jnp.asarray(data.next_obs)))
    most = DEMAND * max(float(np.abs(data.reward).max()), 1e-6) / (1 - DISCOUNT)
    paid = data.reward + (most if reach else -most) * met
    going = ~(data.terminated | met) if reach else ~data.terminated
    now, after = (np.asarray(basis(jnp.asarray(x)), float) for x in (data.obs, data.next_obs))
    size = now.shape[1]
    rows = [data.pick == a for a in range(num_actions)]
    gram = [now[r].T @ now[r] for r in rows]
    wanted = np.concatenate([now[r].T @ paid[r] for r in rows])
    weights = np.zeros((num_actions, size))
    for _ in range(SWEEPS):
        best = (after @ weights.T).argmax(1)
        system = RIDGE * len(now) / num_actions * np.eye(num_actions * size)
        for a, r in enumerate(rows):
            here = slice(a * size, (a + 1) * size)
            system[here, here] += gram[a]
            for b in range(num_actions):
                chosen = r & going & (best == b)
                system[here, b * size : (b + 1) * size] -= DISCOUNT * now[chosen].T @ after[chosen]
        new = np.linalg.solve(system, wanted).reshape(num_actions, size)
        if np.abs(new - weights).max() < 1e-6 * np.abs(new).max():
            break
        weights = new
    return jnp.asarray(weights, jnp.float32)
