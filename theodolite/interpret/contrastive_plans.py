"""Foil policies for plans: what is said is done, and where a plan leaves a choice the agent's own rewards choose.

    do a        a until its condition holds, or a number of times
    go to X     max_π E[Σ_{t<τ} (r_t - ρ) + W(s_τ)] + λ P(the rest of the plan is carried out),  τ = first arrival at X
    avoid X     the best policy that never takes an action whose likeliest outcome lies in X; a slip may still end there

W(s) is what the rest of the plan, and then the agent, are paid from s within the horizon, undiscounted as in answers:
with the agent's discount, putting a place off would look cheap. ρ = max(0, the most a step on the way is paid) plus a
trifle, so that waiting never pays. λ is as small as possible among `PRICES`: the plan must succeed at least `ENOUGH`
times as probably as the best policy for nothing else makes it succeed (`possible`, backward induction over the
horizon). Where nothing is random this is lexicographic: the place is reached if it can be, by the way that the agent
likes best. With slip a hundredth of that probability may be given up for a way that it likes better.

"Avoid" optimises what the agent was trained for, discounted, among the actions left. Where every action leads into X
(it is in the middle of it), it leaves by the fewest moves. "Avoid X until Y" ends where Y happens to hold, and asks for
Y only if more steps follow.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from theodolite.envs.grids import World
from theodolite.interpret.contrastive import (
    DISCOUNT,
    HORIZON,
    Agent,
    Phase,
    States,
    adherence,
    followed,
    q_values,
)
from theodolite.interpret.contrastive_places import barred, states_of
from theodolite.interpret.questions import Question, Step

ENOUGH = 0.99
"""Share of the greatest possible probability with which a plan must be carried out."""
PRICES = ((1, 0.0), (10, 0.0), (100, 0.0), (1_000, 1_000.0))
"""What carrying the plan out counts, in largest rewards of the agent, and what the whole horizon's time costs then."""
TRIFLE = 1e-5
"""What a step costs at least, in largest rewards."""
NEVER = 1e-12


class Rest(NamedTuple):
    """What follows, by the state in which it begins."""

    worth: Float[np.ndarray, " S"]
    """Of what is paid within the horizon."""
    later: Float[np.ndarray, " S"]
    """The same discounted."""
    done: Float[np.ndarray, " S"]
    """Probability that it is carried out."""


def phases(
    world: World,
    agent: Agent,
    question: Question,
    start: Float[np.ndarray, " S"] | None = None,
    horizon: int = HORIZON,
) -> list[Phase]:
    """The foil, from a distribution of states; the agent is itself again after it."""
    if question.always and question.when is not None:
        action = world.actions.index(question.steps[0].action)
        there = states_of(world, question.when, question.steps[0].action)
        return [Phase(np.where(there, action, agent.policy), None, endless=True)]
    begin = world.begin if start is None else start
    if not any(map(_demands, question.steps, (*question.steps[1:], None))):
        return _built(world, agent, question, horizon, 0.0, 0.0)
    best = possible(world, question.steps, begin, horizon)
    largest, plan = max(float(np.abs(agent.reward).max()), 1e-9), []
    for price, haste in PRICES:
        plan = _built(world, agent, question, horizon, price * largest, haste * largest / horizon)
        free = [phase._replace(forbidden=None) for phase in plan]  # a slip is not to be made up for by haste
        if adherence(world, free, agent, begin, horizon).kept >= ENOUGH * best - NEVER:
            break
    return plan


def _demands(step: Step, after: Step | None) -> bool:
    """Whether a step is to bring something about, not only to be done."""
    return step.kind == "reach" or (step.kind == "avoid" and step.until is not None and after is not None)


def _built(world: World, agent: Agent, question: Question, horizon: int, price: float, haste: float) -> list[Phase]:
    """Backwards from where the agent is itself again."""
    steps, found = question.steps, list[Phase]()
    own = np.arange(len(agent.policy)), agent.policy
    going = Phase(agent.policy, None)
    worth = _followed(world, going, np.zeros(len(agent.policy)), agent.reward, horizon)
    rest = Rest(worth, agent.q[own], np.ones(len(agent.policy)))
    for step, after in zip(reversed(steps), (None, *reversed(steps[1:])), strict=True):
        for _ in range(max(1, step.times)):
            phase = _phase(world, agent, step, after, rest, horizon, price, haste)
            rest = _before(world, agent, phase, rest, horizon)
            found.insert(0, phase)
    return found


def _phase(
    world: World, agent: Agent, step: Step, after: Step | None, rest: Rest, horizon: int, price: float, haste: float
) -> Phase:
    until = None if step.until is None else states_of(world, step.until, step.action)
    if step.kind == "do":
        policy = np.full(len(agent.policy), world.actions.index(step.action))
        return Phase(policy, until, single=until is None)
    assert step.target is not None
    target = states_of(world, step.target)
    if step.kind == "reach":
        return Phase(_sought(world, agent, target, rest, None, horizon, price, haste), target)
    allowed = outside(world, target)
    if _demands(step, after) and until is not None:
        return Phase(_sought(world, agent, until, rest, allowed, horizon, price, haste), until, forbidden=target)
    q = q_values(world, agent.reward, until, None if until is None else rest.later, allowed)
    return Phase(_greedy(q, agent), until, forbidden=target, endless=after is None)


def _greedy(q: Float[np.ndarray, "S A"], agent: Agent) -> Int[np.ndarray, " S"]:
    """The best action; ties go to the first."""
    return np.argmax(q > q.max(1, keepdims=True) - 1e-7 * max(1.0, float(np.abs(agent.reward).max())), axis=1)


def _sought(
    world: World,
    agent: Agent,
    target: States,
    rest: Rest,
    allowed: Bool[np.ndarray, "S A"] | None,
    horizon: int,
    price: float,
    haste: float,
) -> Int[np.ndarray, " S"]:
    """The best way to a target; see the equation above."""
    reward, over = agent.reward, world.over
    charge = max(0.0, float(reward[~over].max())) + TRIFLE * float(np.abs(reward).max()) + haste
    paid = np.where(over, reward, reward - charge)
    at_end = rest.worth + price * rest.done
    value = np.where(target, at_end, 0.0)
    q = np.zeros_like(agent.q)
    for _ in range(horizon):
        q = (world.transition @ (paid + value)).reshape(q.shape)
        q = q if allowed is None else np.where(allowed, q, -np.inf)
        new = np.where(target, at_end, np.where(over, 0.0, q.max(1)))
        if np.abs(new - value).max() < 1e-9:
            break
        value = new
    return _greedy(q, agent)


def _before(world: World, agent: Agent, phase: Phase, rest: Rest, horizon: int) -> Rest:
    """What follows from where a phase begins."""
    if phase.single:
        matrix = followed(world, phase.policy)
        worth, later = (
            np.where(world.over, 0.0, matrix @ v)
            for v in (agent.reward + rest.worth, agent.reward + DISCOUNT * rest.later)
        )
        return Rest(worth, later, np.where(world.over, 0.0, matrix @ rest.done))
    return Rest(
        _followed(world, phase, rest.worth, agent.reward, horizon),
        _followed(world, phase, rest.later, agent.reward, horizon, DISCOUNT),
        np.ones(len(rest.done)) if phase.endless else _followed(world, phase, rest.done, None, horizon),
    )


def _followed(
    world: World,
    phase: Phase,
    after: Float[np.ndarray, " S"],
    reward: Float[np.ndarray, " S"] | None,
    horizon: int,
    discount: float = 1.0,
) -> Float[np.ndarray, " S"]:
    """What a phase is paid until it ends, and what comes after, at every state in which it begins."""
    matrix = followed(world, phase.policy)
    until = np.zeros(len(after), bool) if phase.until is None else phase.until
    paid = 0.0 if reward is None else np.where(world.over, 0.0, matrix @ reward)
    value = np.where(until, after, 0.0)
    for _ in range(horizon):
        value = np.where(until, after, np.where(world.over, 0.0, paid + discount * (matrix @ value)))
    return value


def intended(world: World) -> Int[np.ndarray, "S A"]:
    """The likeliest outcome of every action."""
    shape = len(world.cells), len(world.actions)
    return np.asarray(world.transition.argmax(axis=1)).reshape(shape)


def outside(world: World, region: States) -> Bool[np.ndarray, "S A"]:
    """The actions that keep out of a region, as far as they are meant to; inside, those that leave it soonest."""
    to, far = intended(world), len(region)
    moves = np.where(region, far, 0)
    while True:
        new = np.where(region, np.minimum(far, 1 + moves[to].min(1)), 0)
        new[world.over & region] = far  # there is no way out
        if (new == moves).all():
            break
        moves = new
    allowed = moves[to] == moves[to].min(1, keepdims=True)
    allowed[world.over] = True
    return allowed


def possible(world: World, steps: tuple[Step, ...], start: Float[np.ndarray, " S"], horizon: int) -> float:
    """The greatest probability with which any policy comes to the end of a plan that it is free to choose within."""
    size, shape = len(start), (len(start), len(world.actions))
    after = np.ones((horizon + 1, size))  # [h] with h steps left
    for step, following in zip(reversed(steps), (None, *reversed(steps[1:])), strict=True):
        if step.kind == "avoid" and not _demands(step, following):
            after = np.ones_like(after) if following is None else after
            continue
        for _ in range(max(1, step.times)):
            after = _likeliest(world, step, after, shape)
    return float(after[horizon] @ start)


def _likeliest(
    world: World, step: Step, after: Float[np.ndarray, "H S"], shape: tuple[int, int]
) -> Float[np.ndarray, "H S"]:
    """`after` from the beginning of a step, by backward induction."""
    fixed = followed(world, np.full(shape[0], world.actions.index(step.action))) if step.kind == "do" else None
    cond = step.target if step.kind == "reach" else step.until
    until = np.zeros(shape[0], bool) if cond is None else states_of(world, cond, step.action)
    allowed = outside(world, states_of(world, step.target)) if step.kind == "avoid" and step.target else None
    found = np.zeros_like(after)
    for h in range(len(after)):
        if h:
            to = after[h - 1] if cond is None else found[h - 1]
            if fixed is not None:
                found[h] = fixed @ to
            else:
                q = (world.transition @ to).reshape(shape)
                found[h] = (q if allowed is None else np.where(allowed, q, 0.0)).max(1)
            found[h, world.over] = 0.0
        found[h, until] = after[h, until]
    return found


def impossible(world: World, question: Question, start: Float[np.ndarray, " S"], horizon: int) -> str:
    """Why no policy can carry a plan out, in words; empty if one can, or if what is done meanwhile ends it."""
    for n, step in enumerate(question.steps, 1):
        if possible(world, question.steps[:n], start, horizon) > NEVER:
            continue
        if step.kind != "reach" or step.target is None:
            return ""
        if not states_of(world, step.target).any():
            return barred(world, step.target)
        return f"no way of mine comes to be {step.target} from there within {horizon} steps"
    return ""
