"""Safe options with a deep network: CartPole and a game of MinAtar, in which one kind of reward is noisy."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.core.agent import Agent, State
from theodolite.core.arrays import PRNGKey
from theodolite.core.claim import Claim, Job, Row, Size, better, lower, row
from theodolite.core.drive import step_keys
from theodolite.core.env import JaxEnvs, auto_reset
from theodolite.core.normalise import normalise_obs
from theodolite.core.options import remembering
from theodolite.core.train import train
from theodolite.envs import noisy
from theodolite.safety import a2oc

DEEP, A2C = "A2OC", "A2C"
PRINTED, RELEASED, CRITIC = "A2OC, start as printed", "A2OC, all as released", "A2OC, critic"
RULES: dict[str, dict[str, Any]] = {
    PRINTED: {"through": "actor", "scope": "start", "cap": a2oc.UNCAPPED},
    RELEASED: {"through": "actor", "detach": False, "cap": a2oc.UNCAPPED},
    CRITIC: {},
}
ROOT, TRIALS = 1_709_045, 1_000
"""Where the seeds' randomness comes from, and where that of the trials came from that settled settings and margins."""
TESTS = 64
"""Episodes that a trained agent plays."""


class Game(NamedTuple):
    """A noisy task, and how it is learned; `pay` is the pay of one step or hit, noise apart."""

    make: Callable[..., noisy.Noisy]
    config: a2oc.Config
    psis: tuple[float, ...]
    num_envs: int
    pay: float
    wrap: Callable[[Agent], Agent] = lambda agent: agent


POLE, GAME = "noisy CartPole", "noisy Space Invaders"
GAMES = {
    POLE: Game(noisy.cartpole, a2oc.Config(hidden=(64,), deliberation_cost=0.001, cap=1.0), (0.1, 0.3, 1.0), 32, 0.05,
                    normalise_obs),
    GAME: Game(noisy.space_invaders, a2oc.Config(), (0.05, 0.5), 32, 1.0),
}  # fmt: skip
BUDGETS: dict[Size, dict[str, tuple[int, int]]] = {
    "smoke": {POLE: (2, 2_048)},
    "quick": {POLE: (12, 400_000), GAME: (5, 200_000)},
    "full": {POLE: (24, 400_000), GAME: (5, 600_000)},
}
"""Seeds and steps."""


def config_of(game: Game, arm: str, psi: float) -> a2oc.Config:
    """The game's learner under an arm's rule."""
    if arm == A2C:
        return replace(game.config, num_options=1, deliberation_cost=0.0)
    return replace(game.config, psi=psi, **RULES[arm]) if arm in RULES else game.config


def deep(name: str, arm: str, psi: float, seeds: tuple[int, ...], steps: int, root: int = ROOT) -> list[Row]:
    """Train, then play without noise and count where there would have been some."""
    game = GAMES[name]
    task, c = game.make(), config_of(game, arm, psi)
    envs = JaxEnvs(name, auto_reset(task.env), game.num_envs)

    def make(c: a2oc.Config) -> Agent:
        return game.wrap(a2oc.agent(c))

    updates = max(1, steps // (c.rollout * game.num_envs))
    chunk = list(train(make, c, envs, updates=updates, every=updates, seed=root, seeds=len(seeds)))[-1]
    keys = jax.vmap(partial(jax.random.fold_in, jax.random.key(root + 1)))(jnp.array(seeds))
    quiet = game.make(scale=0.0)
    play = jax.jit(lambda both: played(make(c), quiet, *both))
    total, hazards = (np.asarray(x, float) for x in jax.lax.map(play, (chunk.carry.agent, keys)))
    late = slice(-max(1, updates // 10), None)
    seen = {name: np.asarray(chunk.metrics[name])[:, late].mean(1) for name in ("switches", "ending", "option_entropy")}
    variance = total.var(1) + task.scale**2 * hazards.mean(1)
    share = game.pay * hazards.sum(1) / np.maximum(total.sum(1), 1e-9)
    return [
        row(arm, f"{name}/{psi:g}", seed, deep_return=total[i].mean(), noisy_share=share[i],
            deep_deviation=variance[i] ** 0.5, deep_hazards=hazards[i].mean(),
            **{metric: values[i] for metric, values in seen.items()})
        for i, seed in enumerate(seeds)
    ]  # fmt: skip


def played(agent: Agent, task: noisy.Noisy, state: State, key: PRNGKey) -> tuple[Array, Array]:
    """Return without noise, and noisy steps, of one episode in each of many copies; actions are drawn."""
    env = remembering(task.env, agent.options)
    reset_key, play_key = jax.random.split(key)
    world, obs = jax.vmap(env.reset)(jax.random.split(reset_key, TESTS))

    def going(carry: tuple) -> Array:
        return carry[3].any()

    def one(carry: tuple) -> tuple:
        t, world, obs, alive, total, hazards = carry
        act_key, env_key = step_keys(play_key, t)
        action, _ = agent.act(state, obs, act_key)
        world, out = jax.vmap(env.step)(jax.random.split(env_key, TESTS), world, action)
        met = jax.vmap(task.where)(out)
        total, hazards = total + jnp.where(alive, out.reward, 0), hazards + jnp.where(alive & met, 1.0, 0.0)
        return t + 1, world, out.obs, alive & ~out.terminated & ~out.truncated, total, hazards

    nothing = jnp.zeros(TESTS)
    first = (jnp.int32(0), world, obs, jnp.ones(TESTS, bool), nothing, nothing)
    return jax.lax.while_loop(going, one, first)[-2:]


def neutral(name: str, arm: str, psis: tuple[float, ...], seeds: tuple[int, ...], steps: int) -> list[Row]:
    """An arm without penalty, which is the same at every ψ."""
    rows = deep(name, arm, psis[0], seeds, steps)
    return [{**r, "case": f"{name}/{psi:g}"} for psi in psis for r in rows]


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per game, rule and ψ."""
    found = []
    for name, (num, steps) in BUDGETS[size].items():
        who, psis = tuple(range(min(seeds or num, num))), GAMES[name].psis
        shown, plain, rules = psis, (DEEP, A2C), tuple(RULES)
        if size == "quick" and name == GAME:
            shown = psis[-1:]
        if size == "smoke":  # both are one program
            shown, plain, rules = psis[:1], (DEEP,), (CRITIC,)
        cost = 10 if name == POLE else 60
        found += [Job(arm, name, who, partial(neutral, name, arm, shown, who, steps), cost) for arm in plain]
        found += [Job(arm, f"{name}/{psi:g}", who, partial(deep, name, arm, psi, who, steps), cost)
                  for arm in rules for psi in shown]  # fmt: skip
    return found


CASES = {name: tuple(f"{name}/{psi:g}" for psi in game.psis) for name, game in GAMES.items()}
ARMS = (DEEP, A2C, PRINTED, RELEASED, CRITIC)


def _claims(name: str, psi: float, id: str, what: str, scope: Any, slack: float) -> list[Claim]:
    """The bar for one task: through the critic less noise and spread at an equal return; what the released promise."""
    at = (f"{name}/{psi:g}",)
    same: dict[str, Any] = {"arms": ARMS, "cases": CASES[name], "level": "ψ", "statistic": "mean", "scope": scope}
    noise = {"metric": "noisy_share", "unit": "share of the pay that is noisy", "higher_is_better": False}
    spread = {"metric": "deep_deviation", "unit": "standard deviation of the return", "higher_is_better": False}
    paid = {"metric": "deep_return", "unit": "mean return without noise"}
    return [
        Claim(id=f"{id}-visits", source="newsletter", expect=(lower(CRITIC, than=DEEP, by=0.1, cases=at),),
              text=f"{what}: the penalty in the critic makes at least 0.1 less of the pay noisy.", **noise, **same),
        Claim(id=f"{id}-spread", source="newsletter", expect=(lower(CRITIC, than=DEEP, by=0.5, cases=at),),
              text=f"{what}: it makes the standard deviation of the return smaller by at least 0.5.", **spread, **same),
        Claim(id=f"{id}-return", source="newsletter", expect=(better(CRITIC, than=DEEP, by=-slack, cases=at),),
              text=f"{what}: it costs at most {slack:g} of return.", **paid, **same),
        Claim(id=f"{id}-released", text=f"{what}: as released, safe options return more than plain ones and than A2C.",
              expect=(better(RELEASED, than=DEEP, cases=at), better(RELEASED, than=A2C, cases=at)), **paid, **same),
        Claim(id=f"{id}-released-visits", expect=(lower(RELEASED, than=DEEP, by=0.1, cases=at),),
              text=f"{what}: as released, the penalty makes at least 0.1 less of the pay noisy.", **noise, **same),
    ]  # fmt: skip


CLAIMS = (
    *_claims(POLE, 0.3, "deep", "A2OC on a CartPole whose right half pays with noise", "substitute", 1.25),
    *_claims(
        GAME, 0.5, "game", "A2OC on Space Invaders, with noise on what is hit from the left half", "substitute", 1.0
    ),
)
"""Margins were settled on the seeds of the trials, before any run of those that are reported."""
