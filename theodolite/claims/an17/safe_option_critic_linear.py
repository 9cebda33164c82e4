"""Safe Option-Critic with tile coding, on CartPole and in the puddle world, and the gambles that are solved exactly."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.env import time_limit
from theodolite.core.tiles import tiles
from theodolite.envs import classic, puddle
from theodolite.safety import option_critic as oc
from theodolite.safety import safe_option_critic as safe
from theodolite.safety import tail_risk as tail

CARTPOLE = oc.Config(critic_rate=1.0, policy_rate=1.0, termination_rate=1.0, temperature=0.001,
                     option_temperature=0.001, baseline=False, initial=5.0, initial_spread=10.0)  # fmt: skip
"""The authors' 0.1, and their weights at the start, are per tiling, ours are the sums over ten."""
PUDDLE = oc.Config(critic_rate=0.5, policy_rate=0.05, termination_rate=0.05)
POLE_PSIS, PUDDLE_PSIS = (0.1, 0.2, 0.25, 0.3, 0.35), (0.005, 0.015, 0.05)
NEUTRAL, RELEASED, CRITICS = "option-critic", "start pair, as released", "both critics"
LINEAR_RULES = {RELEASED: safe.RELEASED, CRITICS: safe.Config()}
BUDGETS: dict[Size, dict[str, int]] = {
    "smoke": {"seeds": 2, "pole": 4, "puddle": 1, "worlds": 4},
    "quick": {"seeds": 40, "pole": 300, "puddle": 200, "worlds": 200},
    "full": {"seeds": 200, "pole": 1_000, "puddle": 200, "worlds": 1_000},
}
POLE_SHOWN: dict[Size, tuple[float, ...]] = {"smoke": (0.25,), "quick": (0.25, 0.3), "full": POLE_PSIS}
PUDDLE_SHOWN: dict[Size, tuple[float, ...]] = {"smoke": (0.015,), "quick": PUDDLE_PSIS, "full": PUDDLE_PSIS}
PSI, ALPHA, CLIP = 1.0, 0.05, 1.0
"""Of the gambles: ψ is that of the rooms, 0.02, at a prize of 1 in place of 50."""
OUTCOMES = {"rare disaster": (10, 100, 1_000), "long horizon": (1, 10, 100), "rare windfall": (10, 100, 1_000)}


def tasks() -> dict[str, oc.Task]:
    """CartPole with velocities clipped to where they matter, and the puddle world."""
    pole = tiles((-2.4, -3.0, -0.21, -3.5), (2.4, 3.0, 0.21, 3.5), (3, 3, 3, 6), 10)
    square = tiles((0.0, 0.0), (1.0, 1.0), (5, 5), 5)
    return {
        "CartPole": oc.Task(time_limit(classic.cartpole(), 500), pole, lambda obs: jnp.abs(obs[2]) > 2.0),
        "puddle": oc.Task(time_limit(puddle.puddle_world(), 5_000), square, puddle.in_puddle),
    }


def paired(pair: tuple[oc.Config, safe.Config]) -> tuple[oc.Config, Any]:
    """A learner and its penalty."""
    return pair[0], safe.penalty(pair[1])


def linear(name: str, arm: str, psi: float, seeds: tuple[int, ...], episodes: int) -> list[Row]:
    """Return and risky steps in the last tenth of the episodes, and over all of them."""
    c = {"CartPole": CARTPOLE, "puddle": PUDDLE}[name]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(20_181), jnp.array(seeds))
    windows = min(20, episodes)
    options: dict[str, Any] = {"episodes": episodes, "windows": windows}
    rule = replace(LINEAR_RULES[arm], psi=psi) if arm in LINEAR_RULES else None
    configs = jax.tree.map(lambda x: jnp.full(len(seeds), x, jnp.float32), c if rule is None else (c, rule))
    _, seen = oc.train(tasks()[name], configs, keys, **options, **({} if rule is None else {"make": paired}))
    late = max(1, windows // 10)
    at = (np.arange(windows) + 0.5) * episodes / windows
    return [
        row(arm, f"{name}/{psi:g}", seed, {"return": (at, np.asarray(seen["return"][i]))},
            late_return=seen["return"][i, -late:].mean(), late_hazards=seen["hazards"][i, -late:].mean(),
            all_hazards=seen["hazards"][i].mean(), late_steps=seen["steps"][i, -late:].mean())
        for i, seed in enumerate(seeds)
    ]  # fmt: skip


def neutral(name: str, psis: tuple[float, ...], seeds: tuple[int, ...], episodes: int) -> list[Row]:
    """The risk-neutral arm, which is the same at every ψ."""
    rows = linear(name, NEUTRAL, psis[0], seeds, episodes)
    return [{**r, "case": f"{name}/{psi:g}"} for psi in psis for r in rows]


def gamble(rng: np.random.Generator, panel: str, level: int) -> tail.Gamble:
    """A random world: what is safe pays 0.5 to 0.95 of a gamble won."""
    safe_pay, p = float(rng.uniform(0.5, 0.95)), float(10 ** rng.uniform(-3, -1))
    horizon = level if panel == "long horizon" else 1
    outcome = {"rare disaster": -level, "long horizon": -1, "rare windfall": level}[panel]
    return tail.Gamble(horizon, p, float(outcome), safe=safe_pay)


def gambles(seeds: tuple[int, ...]) -> list[Row]:
    """Regret in true mean return, as a share of the worst extreme's, of agents who see all or a clipped reward."""
    rows = []
    for seed in seeds:
        for panel, levels in OUTCOMES.items():
            for i, level in enumerate(levels):
                g = gamble(np.random.default_rng((1, seed, i, len(panel))), panel, level)
                seen = g.seen(CLIP)
                plans = {
                    "neutral, clipped": tail.controllable(seen, 0.0),
                    "controllability, clipped": tail.controllable(seen, PSI),
                    "tail, clipped": tail.tail_averse(seen, ALPHA),
                    "the reason given": tail.controllable(g, 0.0),
                    "controllability": tail.controllable(g, PSI),
                    "tail": tail.tail_averse(g, ALPHA),
                }
                rows += [row(arm, f"{panel}/{level}", seed, regret=tail.regret(g, plan)) for arm, plan in plans.items()]
    return rows


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per task, rule and ψ, and one for the gambles."""
    b = BUDGETS[size]
    who, worlds = tuple(range(seeds or b["seeds"])), tuple(range(seeds or b["worlds"]))
    found = [Job("all cautions", "gambles", worlds, partial(gambles, worlds), cost=3)]
    for name, episodes, psis in (
        ("CartPole", b["pole"], POLE_SHOWN[size]),
        ("puddle", b["puddle"], PUDDLE_SHOWN[size]),
    ):
        found.append(Job(NEUTRAL, name, who, partial(neutral, name, psis, who, episodes), cost=8))
        found += [Job(arm, f"{name}/{psi:g}", who, partial(linear, name, arm, psi, who, episodes), cost=8)
                  for arm in LINEAR_RULES for psi in psis]  # fmt: skip
    return found
