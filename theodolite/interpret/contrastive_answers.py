"""Answers to contrastive questions in finite worlds: where they begin, and what fact and foil lead to."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from theodolite.core.errors import UserError
from theodolite.envs.grids import World
from theodolite.interpret.contrastive import (
    HORIZON,
    Adherence,
    Agent,
    Consequences,
    adherence,
    consequences,
    propagate,
    track,
)
from theodolite.interpret.contrastive_places import named, states_of, told_apart
from theodolite.interpret.contrastive_plans import NEVER, impossible, phases
from theodolite.interpret.questions import Cond, Question


def first_met(world: World, agent: Agent, when: Cond | None) -> Float[np.ndarray, " S"]:
    """Probability of each state in which the agent first meets a condition; sums to the probability that it does."""
    start = world.begin
    if when is None:
        return start
    there = states_of(world, when) & ~world.over  # where nothing is left to choose, nothing can be asked
    arrived, _, _ = propagate(world, [], agent, np.where(there, 0.0, start), HORIZON, there)
    return np.where(there, start + arrived, 0.0)


class Answer(NamedTuple):
    """What was asked and what would follow; the text says nothing that is not in here."""

    question: Question
    reached: float
    """Probability that the agent meets the situation at all."""
    cell: tuple[int, int]
    """Where it most probably does."""
    surely: float
    """How probable that place is, given that it does."""
    action: str
    """What it does there."""
    fact: Consequences
    foil: Consequences
    contributions: dict[str, float]
    """What the foil is paid at each outcome less what the fact is; their sum is the difference of the returns."""
    returns: tuple[float, float]
    """Of fact and foil."""
    tracks: tuple[list[tuple[int, int]], list[tuple[int, int]]]
    """The most probable states and actions of fact and foil."""
    horizon: int
    carried: Adherence
    """With what probabilities the plan is carried out."""
    impossible: str = ""
    """Why no policy carries it out; fact and foil are then the same."""

    @property
    def paths(self) -> tuple[list[int], list[int]]:
        """Their states."""
        fact, foil = ([s for s, _ in track] for track in self.tracks)
        return fact, foil


def answer(world: World, agent: Agent, question: Question, horizon: int = HORIZON) -> Answer:
    """Compare what the agent does with what the question proposes, from where it first meets the situation.

    Raises:
        UserError: the agent never meets the situation.
    """
    met = first_met(world, agent, question.when)
    reached, where = float(met.sum()), int(met.argmax())
    if reached < 1e-6:
        raise UserError(
            f"I never come to be {question.when}: starting at {named(world, world.start)}, the probability is 0. "
            "Ask about a place on my way, or start me elsewhere."
        )
    apart, known = told_apart(world, agent, question)
    start = np.append(met, np.zeros(len(apart.cells) - len(met))) / reached
    plan = phases(apart, known, question, start, horizon)
    carried = adherence(apart, plan, known, start, horizon)
    reason = impossible(apart, question, start, horizon) if carried.kept < NEVER else ""
    plan = [] if reason else plan
    fact, foil = (consequences(apart, p, known, start, horizon) for p in ([], plan))
    contributions = {o: foil.worth[o] - fact.worth[o] for o in fact.worth}
    own, other = (sum(found.worth.values()) for found in (fact, foil))
    tracks = tuple(_together(world, apart, track(apart, p, known, where, horizon)) for p in ([], plan))
    x, y = world.cells[where].tolist()
    surely = float(met[(world.cells == (x, y)).all(1)].sum()) / reached
    action = world.actions[int(agent.policy[where])]
    return Answer(
        question, reached, (x, y), surely, action, fact, foil, contributions, (own, other), (tracks[0], tracks[1]),
        horizon, carried, reason,
    )  # fmt: skip


def _together(world: World, apart: World, along: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A path with the endings that were told apart as the world has them."""
    ends = {s: next(int(np.flatnonzero(m[: len(world.cells)])[0]) for m in apart.events.values() if m[s])
            for s in (apart.ends or {}).values()}  # fmt: skip
    return [(ends.get(s, s), action) for s, action in along]


def as_json(world: World, found: Answer) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "question": found.question.text, "plan": [str(step) for step in found.question.steps],
        "cell": list(found.cell), "cell_probability": found.surely, "reached": found.reached, "action": found.action,
        "outcomes": [
            {"name": o, "fact": found.fact.ever[o], "foil": found.foil.ever[o], "fact_count": found.fact.counts[o],
             "foil_count": found.foil.counts[o], "contribution": found.contributions[o]} for o in found.contributions
        ],
        "return_fact": found.returns[0], "return_foil": found.returns[1], "horizon": found.horizon,
        "plan_kept": found.carried.kept, "entered_anyway": found.carried.entered, "over_before": found.carried.ended,
        "plan_unfinished": found.carried.open, "impossible": found.impossible,
        "unfinished_fact": found.fact.unfinished, "unfinished_foil": found.foil.unfinished,
        "paths": [[world.cells[s].tolist() for s in p] for p in found.paths],
    }  # fmt: skip
