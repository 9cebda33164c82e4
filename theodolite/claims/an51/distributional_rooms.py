"""The four rooms behind the claims on representations: features fitted to kinds of values, judged by unseen ones."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.control import representation
from theodolite.control.heads import midpoints
from theodolite.core import tabular
from theodolite.core.arrays import PRNGKey
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.tabular import MDP
from theodolite.envs.rooms import World, rooms

HELD_OUT, PICTURED = 50, 6
"""Unseen adversarial values that judge, and leading directions of the features that the figure shows."""
STEP_SIZES = (0.03, 0.1, 0.3)
"""Of SARSA; every arm takes the one that is best for it on the trial seed."""
TRIAL_SEED = 1_000


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    widths: tuple[int, ...]
    targets: int
    fit_steps: int
    sarsa_steps: int


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(1, (8,), 10, 50, 500),
    "quick": Budget(10, (8, 16), 200, 2_000, 50_000),
    "full": Budget(20, (4, 8, 16, 32), 200, 2_000, 50_000),
}


class House(NamedTuple):
    """The world as tables: arriving at the goal pays 1 and ends the episode."""

    world: World
    mdp: MDP
    reward: Float[Array, "S A"]
    best: Float[Array, " S"]


@cache
def house() -> House:
    """The four rooms without noise and without slipping."""
    world = rooms(scale=0.0, slip=0.0)
    mdp = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), world.mdp)
    paid = jnp.einsum("sat,t->sa", mdp.transition, world.mean.astype(jnp.float32) / 50.0)
    reward = jnp.where(world.terminal[:, None], 0, paid)
    return House(world, mdp, reward, tabular.optimal_value(mdp, reward))


Kind = Callable[[House, PRNGKey, int], Float[Array, "K S"]]
TARGETS: dict[str, Kind] = {
    "adversarial": lambda h, key, n: representation.adversarial_values(h.mdp, h.reward, key, n),
    "random policies": lambda h, key, n: representation.random_values(h.mdp, h.reward, key, n),
    "optimal value": lambda h, key, n: h.best[None],
    "horizons": lambda h, key, n: representation.discounted_values(
        h.mdp, h.reward, 1 - jnp.geomspace(0.3, 0.01, 10, dtype=jnp.float32)
    ),
    "quantiles": lambda h, key, n: representation.return_quantiles(
        h.mdp, h.reward, tabular.uniform_policy(h.mdp), midpoints(51)
    ),
}
KINDS = (*TARGETS, "proto-values")
DRAWN = ("adversarial", "random policies")
"""Kinds of which every seed has values of its own; those of the others are computed once."""


def features(h: House, kind: str, width: int, b: Budget) -> Callable[[PRNGKey], Float[Array, "S d"]]:
    """What makes features of one kind; proto-values are read off the transitions, all others are learned."""
    if kind == "proto-values":
        found = representation.proto_values(h.mdp, width)
        return lambda key: found
    values = jax.jit(lambda h, key: TARGETS[kind](h, key, b.targets))
    fit = jax.jit(partial(representation.fit, width=width, steps=b.fit_steps))
    fixed = None if kind in DRAWN else values(h, jax.random.key(0))

    def learned(key: PRNGKey) -> Float[Array, "S d"]:
        k_targets, k_fit = jax.random.split(key)
        return fit(values(h, k_targets) if fixed is None else fixed, key=k_fit)

    return learned


def controlled(h: House, found: Float[Array, "S d"], key: PRNGKey, rate: Array, b: Budget) -> Float[Array, ""]:
    """Share of the optimal return of SARSA's greedy policies in the second half of its time, exactly; their mean."""
    terminal = jnp.asarray(h.world.terminal)
    q = representation.sarsa(h.mdp, h.reward, terminal, found, key, steps=b.sarsa_steps, step_size=rate, looks=20)
    policies = jax.nn.one_hot(jnp.argmax(q[10:], -1), q.shape[-1])
    earned = jax.lax.map(lambda policy: tabular.expected_return(h.mdp, policy, h.reward), policies)
    return earned.mean() / (h.mdp.initial @ h.best)


def study(kind: str, width: int, case: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """One kind of targets at one width; a row per seed: what is left out of unseen values, what SARSA earns."""

    def missed(h: House, found: Array, seed: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(1), seed)
        unseen = representation.adversarial_values(h.mdp, h.reward, key, min(HELD_OUT, b.targets))
        return representation.left_out(found, unseen).mean()

    def earned(h: House, found: Array, seed: Array, rate: Array) -> Array:
        return controlled(h, found, jax.random.fold_in(jax.random.key(2), seed), rate, b)

    h = house()  # an argument of what is compiled: as a constant it would be folded
    make, missed, earned = features(h, kind, width, b), jax.jit(missed), jax.jit(earned)
    learned = lambda seed: make(jax.random.fold_in(jax.random.key(0), seed))  # noqa: E731
    trial = learned(TRIAL_SEED)
    rate = max(STEP_SIZES, key=lambda rate: float(earned(h, trial, jnp.int32(TRIAL_SEED), jnp.float32(rate))))
    rows = []
    for i, seed in enumerate(seeds):
        found = learned(seed)
        scores = {
            "left_out": missed(h, found, jnp.int32(seed)),
            "control": earned(h, found, jnp.int32(seed), jnp.float32(rate)),
        }
        rows.append(row(kind, case, seed, pictures(np.asarray(found)) if i == 0 else {}, **scores))
    return rows


def pictures(found: Float[np.ndarray, "S d"]) -> dict[str, tuple]:
    """The leading directions of the features, each a number per state."""
    left, sizes, _ = np.linalg.svd(found - found.mean(0), full_matrices=False)
    return {f"feature {i}": (range(len(left)), left[:, i]) for i in range(min(PICTURED, len(sizes)))}


def case_of(width: int) -> str:
    """The name of a case."""
    return f"four rooms/{width}"


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """Every kind at every width."""
    b = BUDGETS[size]
    who = tuple(range(seeds or b.seeds))
    kinds = KINDS if size != "smoke" else ("random policies",)
    cases = [(w, case_of(w), kind) for w in b.widths for kind in kinds]
    return [Job(kind, case, who, partial(study, kind, w, case, who, b), cost=10) for w, case, kind in cases]
