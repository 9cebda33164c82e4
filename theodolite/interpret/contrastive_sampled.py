"""Contrastive answers where nothing is finite: rollouts of fact and foil with the same random numbers, with intervals.

    both     episodes from the same keys; the foil parts from the fact where the situation is first met
    contrast d_i = Σ reward at outcome o (foil) - (fact) in episode i;  mean(d) ± z sd(d)/√n, which is paired
    foil     what the plan says; where it leaves a choice (avoid, go to), that of `fitted_foil`

How often the plan was kept is counted, not assumed: a fitted policy may fail at what it is fitted for.
"""

from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from theodolite.core import stats
from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Env
from theodolite.core.errors import UserError
from theodolite.interpret import fitted_foil, questions
from theodolite.interpret.fitted_foil import Acts, Holds
from theodolite.interpret.outcomes import Spoken
from theodolite.interpret.questions import Cond, Question, Vocabulary


class Asked(NamedTuple):
    """Who is asked: a policy in an environment with words."""

    env: Env
    """Ends by itself or by a time limit; no automatic reset."""
    spoken: Spoken
    policy: Acts
    limit: int
    """Steps of an episode at most."""


class Phase(NamedTuple):
    """What is done until a condition holds, or for some steps."""

    act: Acts
    until: Holds | None = None
    times: int = 0
    """0: no limit."""
    forbidden: Holds | None = None
    """What should not be met meanwhile."""


class Played(NamedTuple):
    """Of every episode."""

    met: Bool[Array, " B"]
    """Whether the situation was met; all else is from there on."""
    own: Array
    """What the agent itself does there."""
    counts: Float[Array, "B K"]
    """How often each outcome was."""
    worth: Float[Array, "B K"]
    """What was paid at it."""
    kept: Bool[Array, " B"]
    """Whether the plan came to its end, or was one to avoid something to the end, and nothing forbidden was met."""


class Answer(NamedTuple):
    """What was asked and what followed; the text says nothing that is not in here."""

    question: Question
    episodes: int
    met: int
    action: str
    """What the agent mostly does there, and in what share of the episodes."""
    share: float
    outcomes: tuple[str, ...]
    fact: Float[np.ndarray, "K 2"]
    """Share of the episodes in which each outcome is, and how often on average."""
    foil: Float[np.ndarray, "K 2"]
    contributions: Float[np.ndarray, "K 3"]
    """Difference of what is paid at each outcome, with its interval; the first column adds up to the last row's."""
    noticed: Bool[np.ndarray, " K"]
    """Which differences are real, by Holm's procedure."""
    returns: tuple[float, float]
    difference: tuple[float, float, float]
    kept: float
    """Share of the episodes in which the plan was carried out."""
    limit: int
    """Steps of an episode at most."""


def vocabulary(spoken: Spoken) -> Vocabulary:
    """What can be said."""
    return Vocabulary(tuple(spoken.actions), tuple(spoken.things), None)


def holds(spoken: Spoken, cond: Cond) -> Holds:
    """Where a condition holds."""
    if cond.kind == "not":
        inner = holds(spoken, cond.parts[0])
        return lambda obs: ~inner(obs)
    if cond.kind in ("and", "or"):
        first, second = (holds(spoken, part) for part in cond.parts)
        both = cond.kind == "and"
        return lambda obs: first(obs) & second(obs) if both else first(obs) | second(obs)
    measure = spoken.things[str(cond.place)]
    if cond.kind == "near":
        return lambda obs: (measure(obs) > 0) & (measure(obs) <= 1)
    return lambda obs: measure(obs) <= 0


def actions(spoken: Spoken) -> Array:
    """The actions that have names."""
    return jnp.asarray(list(spoken.actions.values()))


def constant(action: Any) -> Acts:
    """The same action everywhere."""
    return lambda obs: jnp.broadcast_to(jnp.asarray(action), (len(obs), *jnp.shape(action)))


def phases(asked: Asked, question: Question, key: PRNGKey) -> list[Phase]:
    """The foil."""
    spoken, found = asked.spoken, []
    if question.always and question.when is not None:
        there, action = holds(spoken, question.when), constant(spoken.actions[question.steps[0].action])
        return [Phase(lambda obs: _where(there(obs), action(obs), asked.policy(obs)))]
    table = actions(spoken)
    for step in question.steps:
        until = None if step.until is None else holds(spoken, step.until)
        if step.kind == "do":
            found.append(Phase(constant(spoken.actions[step.action]), until, step.times))
            continue
        assert step.target is not None
        target, reach = holds(spoken, step.target), step.kind == "reach"
        act = fitted_foil.fit(asked.env, asked.policy, table, target, key, reach=reach)
        found.append(Phase(act, target, 0) if reach else Phase(act, until, 0, target))
    return found


def simulate(asked: Asked, plan: list[Phase], when: Holds | None, key: PRNGKey, episodes: int) -> Played:
    """Episodes in which the agent follows a plan from where a situation is first met, then itself again."""
    env, outcomes = asked.env, list(asked.spoken.outcomes.values())
    reset_key, play_key = jax.random.split(key)

    def one(carry: tuple, t: Array) -> tuple[tuple, None]:
        state, obs, alive, met, k, n, own, played = carry
        newly = alive & ~met & (jnp.ones_like(met) if when is None else when(obs))
        met = met | newly
        k, n = _passed(plan, obs, alive & met, k, n)
        own = _where(newly, asked.policy(obs), own)
        action = asked.policy(obs)
        for i, phase in enumerate(plan):
            action = _where(met & (k == i), phase.act(obs).astype(action.dtype), action)
        keys = jax.random.split(jax.random.fold_in(play_key, t), episodes)
        state, out = jax.vmap(env.step)(keys, state, action)
        counted = (alive & met)[:, None].astype(jnp.float32) * _events(
            outcomes, out.last_obs, out.terminated, out.truncated
        )
        broken = played[2]
        for i, phase in enumerate(plan):
            if phase.forbidden is not None:
                broken = broken | (alive & met & (k == i) & phase.forbidden(out.last_obs))
        n = n + (alive & met).astype(jnp.int32)
        for i, phase in enumerate(plan):
            done = (k == i) & (n >= phase.times) if phase.times else jnp.zeros_like(met)
            k, n = jnp.where(done, i + 1, k), jnp.where(done, 0, n)
        k, n = _passed(plan, out.last_obs, alive & met, k, n)  # also where the episode ends
        played = played[0] + counted, played[1] + counted * out.reward[:, None], broken
        alive = alive & ~out.terminated & ~out.truncated
        return (state, out.last_obs, alive, met, k, n, own, played), None

    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, episodes))
    no, zero = jnp.zeros(episodes, bool), jnp.zeros(episodes, jnp.int32)
    nothing = jnp.zeros((episodes, len(outcomes) + 1))
    first = (state, obs, ~no, no, zero, zero, jnp.zeros_like(asked.policy(obs)), (nothing, nothing, no))
    last, _ = jax.lax.scan(one, first, jnp.arange(asked.limit))
    _, _, _, met, k, _, own, (counts, worth, broken) = last
    endless = bool(plan) and not plan[-1].times and (plan[-1].until is None or plan[-1].forbidden is not None)
    return Played(met, own, counts, worth, met & ~broken & (k >= len(plan) - endless))


def _passed(
    plan: list[Phase], obs: Float[Array, "B O"], going: Bool[Array, " B"], k: Int[Array, " B"], n: Int[Array, " B"]
) -> tuple[Int[Array, " B"], Int[Array, " B"]]:
    """The phase that each episode is in, and since how many steps, once conditions that hold have ended theirs."""
    for i, phase in enumerate(plan):
        if phase.until is not None:
            over = going & (k == i) & phase.until(obs)
            k, n = jnp.where(over, i + 1, k), jnp.where(over, 0, n)
    return k, n


def _where(mask: Bool[Array, " B"], first: Array, second: Array) -> Array:
    """By row."""
    return jnp.where(mask.reshape(-1, *[1] * (first.ndim - 1)), first.astype(second.dtype), second)


def _events(outcomes: list, obs: Array, terminated: Array, truncated: Array) -> Float[Array, "B K"]:
    """Which outcome a step is: the first whose condition holds, or the last of all."""
    left, found = jnp.ones(len(obs), bool), []
    for event in outcomes:
        found.append(left & event(obs, terminated, truncated))
        left = left & ~found[-1]
    return jnp.stack([*found, left], axis=1).astype(jnp.float32)


def answer(asked: Asked, text: str, episodes: int = 512, seed: int = 0) -> Answer:
    """Compare what the agent does with what the question proposes.

    Raises:
        UserError: the sentence is not understood, or the agent never meets the situation.
    """
    question = questions.parse(text, vocabulary(asked.spoken))
    if episodes < 2:
        raise UserError(f"episodes = {episodes}: must be >= 2, since intervals need a spread.")
    fit_key, play_key = jax.random.split(jax.random.key(seed))
    when = None if question.when is None else holds(asked.spoken, question.when)
    plan = phases(asked, question, fit_key)
    fact, foil = (
        jax.tree.map(np.asarray, jax.jit(partial(simulate, asked, p, when, episodes=episodes))(play_key))
        for p in ([], plan)
    )
    if fact.met.sum() < 2:
        raise UserError(
            f"I come to be {question.when} in {fact.met.sum()} of {episodes} episodes: too few to compare. Ask about a "
            "situation that I meet, or raise --episodes."
        )
    return compare(asked, question, fact, foil)


def compare(asked: Asked, question: Question, fact: Played, foil: Played) -> Answer:
    """The answer from both sides' episodes."""
    met = fact.met
    names = list(asked.spoken.actions)
    picks = np.asarray(fitted_foil.closest(actions(asked.spoken), jnp.asarray(fact.own[met])))
    mostly = np.bincount(picks, minlength=len(names))
    paired = np.asarray(foil.worth[met], float) - np.asarray(fact.worth[met], float)
    each = [_interval(column) for column in paired.T]
    levels = stats.holm_levels([p for _, p in each])
    sides = (np.asarray(played.counts[met], float) for played in (fact, foil))
    own, other = (np.stack([(counts > 0).mean(0), counts.mean(0)], axis=1) for counts in sides)
    returns = (float(fact.worth[met].sum(1).mean()), float(foil.worth[met].sum(1).mean()))
    outcomes = (*asked.spoken.outcomes, asked.spoken.otherwise)
    return Answer(
        question, len(met), int(met.sum()), names[int(mostly.argmax())], float(mostly.max() / mostly.sum()), outcomes,
        own, other, np.array([interval for interval, _ in each]),
        np.array([p <= level for (_, p), level in zip(each, levels, strict=True)]), returns,
        _interval(paired.sum(1))[0], float(foil.kept[met].mean()), asked.limit,
    )  # fmt: skip


def _interval(values: Float[np.ndarray, " B"]) -> tuple[tuple[float, float, float], float]:
    """Mean and 95% interval, and the p-value of a mean of 0."""
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    z = NormalDist().inv_cdf(0.5 + stats.CONFIDENCE / 2)
    if error == 0:
        return (mean, mean, mean), float(mean == 0)
    return (mean, mean - z * error, mean + z * error), 2 * NormalDist().cdf(-abs(mean) / error)
