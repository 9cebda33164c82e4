"""Arms of `quantilizers`: random finite problems, Goodhart curves, tomato gardens, and the recursive toy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from theodolite.core.claim import Job, Row, Size, row
from theodolite.foundations import quantilizers as qz
from theodolite.foundations import quantilizers_recursive as recursive
from theodolite.foundations import quantilizers_sequential as sequential

EXACT_CASE = "random problems"
FRACTIONS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001)
MODERATE, HARD = "q = 0.1", "q = 0.001"
RATIOS = (4, 16, 64, 256)
DRAWN = 1_024
"""Policies drawn from the base at the policy level."""
HORIZON = 20
GARDENS: dict[str, dict[str, Any]] = {"gardens": {}, "gardens without chance": {"drying": 0.0, "one_start": True}}
BITS = 6.0
NOISES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
WORLDS: dict[str, dict[str, Any]] = {
    "64 tasks, 4 generators": {"tasks": 64, "generators": 4},
    "1 task, 4 generators": {"tasks": 1, "generators": 4},
    "64 tasks, 64 generators": {"tasks": 64, "generators": 64},
    "1 task, 64 generators": {"tasks": 1, "generators": 64},
    "64 tasks, 4 generators, flattered": {"tasks": 64, "generators": 4, "flattery": 1.0},
}
LEVELS = {"actions": 1, "+ utilities": 2, "+ generators": 3}
NUM: dict[Size, dict[str, int]] = {
    "smoke": {"problems": 5, "curves": 2, "gardens": 1, "toys": 3},
    "quick": {"problems": 1_000, "curves": 60, "gardens": 20, "toys": 200},
    "full": {"problems": 1_000, "curves": 200, "gardens": 100, "toys": 1_000},
}


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Up to 20 actions, often with tied utilities; q is at least the mass of the best action."""
    rng = np.random.default_rng(seed)
    actions = int(rng.integers(2, 21))
    base = rng.dirichlet(np.full(actions, rng.choice([0.3, 1.0, 5.0])))
    utility = rng.integers(0, actions, actions).astype(float) if seed % 2 else rng.normal(size=actions)
    return base, utility, float(rng.uniform(base[utility == utility.max()].sum(), 1))


def counted(base: np.ndarray, utility: np.ndarray, q: float) -> np.ndarray:
    """What a reader of the definition may write: the best ⌈q A⌉ actions by count, with the base renormalised."""
    kept = np.argsort(-utility)[: int(np.ceil(q * len(base)))]
    law = np.zeros_like(base)
    law[kept] = base[kept] / base[kept].sum()
    return law


def best_of(base: np.ndarray, utility: np.ndarray, q: float) -> np.ndarray:
    """The best of ⌈1/q⌉ draws, whose bound is compared with ⌈1/q⌉."""
    return np.asarray(qz.sampled_law(jnp.asarray(base), jnp.asarray(utility), int(np.ceil(1 / q))))


def bounds(seeds: tuple[int, ...]) -> list[Row]:
    """The bound's worst violation over all costs, its tightness, and the distance to the linear program's optimum.

    The bound is linear in the cost: it holds for all if it holds for the cost of each action alone.
    """
    rows = []
    with jax.enable_x64(True):
        for seed in seeds:
            base, utility, q = problem(seed)
            law = np.asarray(qz.quantile_law(jnp.asarray(base), jnp.asarray(utility), q))
            capped = np.stack([np.zeros_like(base), base / q], 1)
            best = -linprog(-utility, A_eq=np.ones((1, len(base))), b_eq=[1], bounds=capped).fun
            rows.append(row("quantilizer", EXACT_CASE, seed, excess=(law - base / q).max(),
                            slack=1 - q * (law / base).max(), gap=abs(best - law @ utility)))  # fmt: skip
            rows.append(row("counted", EXACT_CASE, seed, excess=(counted(base, utility, q) - base / q).max()))
            n = int(np.ceil(1 / q))
            rows.append(row("best of n", EXACT_CASE, seed, excess=(best_of(base, utility, q) - base * n).max()))
    return rows


def curves(tail: str, seeds: tuple[int, ...]) -> list[Row]:
    """Goodhart curves of one law of the proxy's error."""
    run = jax.jit(lambda key: qz.goodhart(key, tail, jnp.asarray(FRACTIONS)))
    arms = {"quantilizer": "quantilizer", "softmax_ratio": "softmax, same ratio", "softmax_kl": "softmax, same KL",
            "best_of_n": "best of 1/q"}  # fmt: skip
    rows = []
    for seed in seeds:
        found = jax.device_get(run(jax.random.fold_in(jax.random.key(17), seed)))
        for i, q in enumerate(FRACTIONS):
            proxies = {"quantilizer": {"proxy": found["proxy"][i]}, "softmax_ratio": {"proxy": found["proxy_ratio"][i]}}
            rows += [row(name, f"{tail}/{q:g}", seed, true_value=found[arm][i], **proxies.get(arm, {}))
                     for arm, name in arms.items()]  # fmt: skip
        for name, q in ((MODERATE, 0.1), (HARD, 0.001)):
            rows.append(row(name, tail, seed, chosen_value=found["quantilizer"][FRACTIONS.index(q)]))
    return rows


@partial(jax.jit, static_argnums=2)
def _gardener(world: sequential.Garden, key: jax.Array, horizon: int) -> dict[str, Any]:
    """(true return, proxy return, log of the worst ratio) of the arms without a ratio, then of those with one."""
    base = sequential.noisy_gardener(world, horizon)

    def both(policy: jax.Array) -> jax.Array:
        ratio = sequential.trajectory_ratio(world, policy, base)
        return jnp.stack([*(sequential.total(world, policy, r) for r in (world.true, world.proxy)), ratio])

    def best(reward: jax.Array) -> jax.Array:
        return both(sequential.plan(world, reward, base, "best", 0.0))

    cap = jnp.max(world.proxy) / 2
    returns = sequential.drawn_returns(key, world, base, DRAWN)
    found: dict[str, Any] = {"base": both(base), "true optimum": best(world.true), "proxy optimum": best(world.proxy),
                             "capped proxy": best(jnp.minimum(world.proxy, cap))}  # fmt: skip
    for ratio in RATIOS:
        stepwise = sequential.plan(world, world.proxy, base, "quantile", ratio ** (-1 / horizon))
        soft = sequential.soft_with_ratio(world, base, jnp.log(jnp.asarray(float(ratio))))
        level = sequential.policy_level(returns, DRAWN // ratio)
        found[f"per step/{ratio}"], found[f"soft/{ratio}"] = both(stepwise), both(soft)
        found[f"policy level/{ratio}"] = jnp.stack([*level, jnp.log(jnp.asarray(float(ratio)))])
    return found


def gardens(panel: str, seeds: tuple[int, ...]) -> list[Row]:
    """Returns as shares of the way from the base to the optimum, of the true reward and of the proxy."""
    rows = []
    for seed in seeds:
        world = sequential.garden(np.random.default_rng(seed), **GARDENS[panel])
        found = jax.device_get(_gardener(world, jax.random.fold_in(jax.random.key(51), seed), HORIZON))
        base, true, proxy = found["base"], found["true optimum"], found["proxy optimum"]
        for name, (got_true, got_proxy, ratio) in found.items():
            arm, _, level = name.partition("/")
            shares = {
                "true_share": (got_true - base[0]) / (true[0] - base[0]),
                "proxy_share": (got_proxy - base[1]) / (proxy[1] - base[1]),
                "log_ratio": ratio,
            }
            rows += [row(arm, f"{panel}/{r}", seed, **shares) for r in RATIOS if level in ("", str(r))]
    return rows


def toys(world: str, seeds: tuple[int, ...]) -> list[Row]:
    """The same bits spent on one, two or three levels, over the noise of the feedback on generators."""
    rows = []
    keys = jnp.stack([jax.random.fold_in(jax.random.key(3), seed) for seed in seeds])
    run = jax.jit(jax.vmap(recursive.aligned, in_axes=(0, None, None)))
    for noise in NOISES:
        c = recursive.Toy(generator_noise=noise, **WORLDS[world])
        for arm, levels in LEVELS.items():
            found = jax.device_get(run(keys, c, recursive.split(BITS, levels)))
            exploited = np.broadcast_to(found.exploited, found.value.shape)
            rows += [row(arm, f"{world}/{noise:g}", seed, value=v, exploited=e)
                     for seed, v, e in zip(seeds, found.value, exploited, strict=True)]  # fmt: skip
    return rows


def propositions(seeds: tuple[int, ...]) -> list[Row]:
    """Violations of propositions A and B on random finite three-level problems."""
    rows = []
    with jax.enable_x64(True):
        for seed in seeds:
            rng = np.random.default_rng(seed)
            bases = (rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(6), 4), rng.dirichlet(np.ones(8)))
            feedback, utility = (rng.normal(size=4), rng.normal(size=(4, 6))), rng.normal(size=(4, 6, 8))
            q3, q2, q1 = fractions = tuple(rng.uniform(0.05, 1, 3))
            given = jax.tree.map(jnp.asarray, (bases, feedback, utility))
            law = np.asarray(_joint(*given, fractions))
            trusted = bases[0][:, None, None] * bases[1][:, :, None] * bases[2][None, None]
            rows.append(row("A: actions", EXACT_CASE, seed, violation=(law.sum((0, 1)) - bases[2] / q1).max()))
            rows.append(row("B: all levels", EXACT_CASE, seed, violation=(law - trusted / (q1 * q2 * q3)).max()))
    return rows


_joint: Callable[..., jax.Array] = jax.jit(recursive.recursive_law)


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """All the work behind the claims."""
    who = {name: tuple(range(seeds or count)) for name, count in NUM[size].items()}
    return [
        Job("all laws", EXACT_CASE, who["problems"], partial(bounds, who["problems"]), cost=5),
        Job("three levels", EXACT_CASE, who["problems"], partial(propositions, who["problems"]), cost=5),
        *(Job("all gardeners", panel, who["gardens"], partial(gardens, panel, who["gardens"]), cost=40)
          for panel in GARDENS),
        *(Job("all optimisers", tail, who["curves"], partial(curves, tail, who["curves"]), cost=20)
          for tail in qz.TAILS),
        *(Job("all levels", world, who["toys"], partial(toys, world, who["toys"]), cost=5) for world in WORLDS),
    ]  # fmt: skip
