"""Contrastive explanations (van der Waa et al. 2018): what would follow from what you expected, instead of what I do.

    question    a foil: phases, each a policy and a condition that ends it, after which the agent is itself again
    forward     d_{t+1} = d_t P_phase, phases change where their condition holds
    outcome     N_o = Σ_t P(arrive at o at step t),  P_o = the same with o made an end
    contrast    N_o(foil) - N_o(fact), and Σ_o value_o · contrast = the difference of the returns, exactly

Differences from the paper: (1) consequences are expectations over all that may happen, not those of the single most
probable path, which never shows an outcome of probability 0.3 per step; `most_probable` keeps the paper's. (2) The
paper's foil adds Q_I of a reward R(foil) - R(fact), which is 0 wherever both actions pay alike and has the wrong sign
elsewhere: `printed_foil` keeps it, `margin_foil` puts Q in place of R, and questions use plans. (3) Where a plan leaves
a choice (avoid, go to) the agent's own rewards choose, best first.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import spsolve

from theodolite.core.claim import Paper
from theodolite.core.errors import UserError
from theodolite.envs.grids import GOAL, TRAP, World
from theodolite.interpret.questions import Cond, Question, Step, Vocabulary

PAPER = Paper(
    "Contrastive Explanations for Reinforcement Learning in terms of Expected Consequences",
    "van der Waa, van Diggelen, van den Bosch, Neerincx", 2018, arxiv="1807.08706",
)  # fmt: skip
DISCOUNT, HORIZON, TOLERANCE = 0.95, 200, 1e-9
DEMAND = 1e4
"""What reaching a demanded place, or entering a forbidden one, counts beside the agent's own rewards."""
States = Bool[np.ndarray, " S"]


class Agent(NamedTuple):
    """A policy and what it was trained for."""

    reward: Float[np.ndarray, " S"]
    """For arriving at a state."""
    q: Float[np.ndarray, "S A"]
    policy: Int[np.ndarray, " S"]


class Phase(NamedTuple):
    """A policy until a condition holds; `single`: for one step."""

    policy: Int[np.ndarray, " S"]
    until: States | None
    single: bool = False


class Consequences(NamedTuple):
    """Expectations over the horizon."""

    counts: dict[str, float]
    """How often each outcome is arrived at."""
    ever: dict[str, float]
    """With what probability it is at all."""
    worth: dict[str, float]
    """What the agent is paid at them."""
    unfinished: float
    """Probability that no ending was reached."""


def q_values(
    world: World,
    reward: Float[np.ndarray, " S"],
    stop: States | None = None,
    then: Float[np.ndarray, " S"] | None = None,
) -> Float[np.ndarray, "S A"]:
    """Optimal Q by value iteration; states that `stop` are worth `then`."""
    shape = (len(reward), len(world.actions))
    value = np.zeros(len(reward))
    while True:
        q = (world.transition @ (reward + DISCOUNT * value)).reshape(shape)
        q[world.over] = 0.0
        new = q.max(1) if stop is None or then is None else np.where(stop, then, q.max(1))
        if np.abs(new - value).max() < TOLERANCE * (1 + np.abs(new).max()):
            return q
        value = new


def train(world: World, reward: Float[np.ndarray, " S"]) -> Agent:
    """The optimal agent for a reward; ties go to the first action."""
    q = q_values(world, reward)
    return Agent(reward, q, np.argmax(q > q.max(1, keepdims=True) - 1e-7, axis=1))


def followed(world: World, policy: Int[np.ndarray, " S"]) -> sparse.csr_array:
    """The transition matrix of a policy. [S, S]"""
    matrix: Any = world.transition  # SciPy's types know no rows chosen by a list
    return matrix[np.arange(len(policy)) * len(world.actions) + policy]


def follow(world: World, reward: Float[np.ndarray, " S"], policy: Int[np.ndarray, " S"]) -> Agent:
    """The agent of a given policy, such as a trained network's, whose Q is what following it further is worth."""
    matrix = followed(world, policy)
    going = sparse.diags_array((~world.over).astype(float))
    system = (sparse.eye_array(len(reward)) - DISCOUNT * going @ matrix).tocsc()
    value = spsolve(system, going @ (matrix @ reward))
    q = (world.transition @ (reward + DISCOUNT * value)).reshape(len(reward), len(world.actions))
    q[world.over] = 0.0
    return Agent(reward, q, policy)


def named(world: World, state: int) -> str:
    """Where a state is, in words."""
    x, y = world.cells[state].tolist()
    return f"({x}, {y})" if world.names is None else world.names[x, y]


def vocabulary(world: World) -> Vocabulary:
    """What can be said about a world."""
    things = [thing for thing, cells in world.things.items() if cells.any()]
    return Vocabulary(world.actions, (*things, *["monster"] * bool((world.monsters >= 0).any())), world.shape)


def states_of(world: World, cond: Cond, action: str = "") -> States:
    """Where a condition holds; "wall" is about the action."""
    if cond.kind == "not":
        return ~states_of(world, cond.parts[0], action) & ~world.over
    if cond.kind == "and":
        return states_of(world, cond.parts[0], action) & states_of(world, cond.parts[1], action)
    if cond.kind == "wall":
        return world.blocked[:, world.actions.index(action)] if action else np.asarray(world.blocked.any(1))
    within = 1 if cond.kind == "near" else 0
    if cond.place == "monster":
        return ~world.over & (np.abs(world.cells - world.monsters).sum(1) <= within)
    grid = np.zeros(world.shape, bool)
    if isinstance(cond.place, tuple):
        grid[cond.place] = True
    else:
        grid |= world.things[str(cond.place)]
    wanted = beside(world, grid) if cond.kind == "near" else grid
    found = ~world.over & wanted[world.cells[:, 0], world.cells[:, 1]]
    if cond.kind != "near" and GOAL in world.events and grid[world.things["goal"]].any():
        found |= world.events[GOAL]
    if cond.kind != "near" and cond.place == "trap":
        found |= world.events[TRAP]
    return found


def beside(world: World, grid: Bool[np.ndarray, "X Y"]) -> Bool[np.ndarray, "X Y"]:
    """The cells outside some cells that are a step away from one of them."""
    if world.beside is not None:
        return ~grid & world.beside[:, :, grid].any(-1)
    x, y = np.indices(world.shape)
    distance = np.stack([np.abs(x - i) + np.abs(y - j) for i, j in np.argwhere(grid)] or [x + 99]).min(0)
    return distance == 1


def phases(world: World, agent: Agent, question: Question) -> list[Phase]:
    """The foil, backwards from where the agent is itself again."""
    if question.always and question.when is not None:
        action = world.actions.index(question.steps[0].action)
        there = states_of(world, question.when, question.steps[0].action)
        return [Phase(np.where(there, action, agent.policy), None)]
    found: list[Phase] = []
    value = agent.q[np.arange(len(agent.policy)), agent.policy]
    for step in reversed(question.steps):
        new, value = _phase(world, agent, step, value)
        found = new + found
    return found


def _phase(
    world: World, agent: Agent, step: Step, then: Float[np.ndarray, " S"]
) -> tuple[list[Phase], Float[np.ndarray, " S"]]:
    if step.kind == "do":
        policy = np.full(len(then), world.actions.index(step.action))
        if step.until is None:
            for _ in range(step.times):
                then = np.where(world.over, 0.0, followed(world, policy) @ (agent.reward + DISCOUNT * then))
            return [Phase(policy, None, single=True)] * step.times, then
        until = states_of(world, step.until, step.action)
        value, matrix = np.where(until, then, 0.0), followed(world, policy)
        for _ in range(HORIZON):
            new = np.where(until, then, matrix @ (agent.reward + DISCOUNT * value))
            value = np.where(world.over, 0.0, new)
        return [Phase(policy, until)], value
    assert step.target is not None
    target = states_of(world, step.target)
    if step.kind == "reach":
        q = q_values(world, agent.reward, target, then + DEMAND)
        until: States | None = target
    else:
        until = None if step.until is None else states_of(world, step.until)
        q = q_values(world, agent.reward - DEMAND * target, until, then)
    best = np.argmax(q > q.max(1, keepdims=True) - 1e-6, axis=1)
    return [Phase(best, until)], q.max(1) if until is None else np.where(until, then, q.max(1))


def first_met(world: World, agent: Agent, when: Cond | None) -> Float[np.ndarray, " S"]:
    """Probability of each state in which the agent first meets a condition; sums to the probability that it does."""
    start = world.begin
    if when is None:
        return start
    there = states_of(world, when)
    arrived, _, _ = propagate(world, [], agent, np.where(there, 0.0, start), HORIZON, there)
    return np.where(there, start + arrived, 0.0)


def propagate(
    world: World,
    plan: list[Phase],
    agent: Agent,
    start: Float[np.ndarray, " S"],
    horizon: int,
    stop: States | None = None,
) -> tuple[Float[np.ndarray, " S"], float, float]:
    """Expected arrivals at each state, and the probabilities at the end of being neither over nor out of the plan.

    Returns arrivals, the mass still inside the plan, and the mass still going; arrivals at `stop` are final.
    """
    every = [*plan, Phase(agent.policy, None)]
    steps = [followed(world, phase.policy).T.tocsr() for phase in every]
    mass = np.zeros((len(every), len(start)))
    mass[0] = start
    arrived = np.zeros(len(start))
    for _ in range(horizon):
        for k, phase in enumerate(every[:-1]):
            if phase.until is not None:
                mass[k + 1] += np.where(phase.until, mass[k], 0.0)
                mass[k] = np.where(phase.until, 0.0, mass[k])
        mass[:, world.over] = 0.0
        following = np.zeros_like(mass)
        for k, phase in enumerate(every):
            if mass[k].any():
                following[k + 1 if phase.single else k] += steps[k] @ mass[k]
        arrived += following.sum(0)
        mass = following if stop is None else np.where(stop, 0.0, following)
    going = np.where(world.over, 0.0, mass)
    return arrived, float(going[:-1].sum()), float(going.sum())


def consequences(
    world: World, plan: list[Phase], agent: Agent, start: Float[np.ndarray, " S"], horizon: int = HORIZON
) -> Consequences:
    """Exact expectations of every outcome when a plan is followed from a distribution of states, then the agent."""
    arrived, _, going = propagate(world, plan, agent, start, horizon)
    counts = {name: float(arrived[mask].sum()) for name, mask in world.events.items()}
    ever = {}
    for name, mask in world.events.items():
        final = world.over[mask].all()
        ever[name] = (
            counts[name] if final else float(propagate(world, plan, agent, start, horizon, mask)[0][mask].sum())
        )
    worth = {name: float(arrived[mask] @ agent.reward[mask]) for name, mask in world.events.items()}
    return Consequences(counts, ever, worth, going)


def values(world: World, agent: Agent) -> dict[str, float]:
    """What the agent is paid for each outcome."""
    return {name: float(agent.reward[mask].mean()) if mask.any() else 0.0 for name, mask in world.events.items()}


def track(world: World, plan: list[Phase], agent: Agent, start: int, horizon: int = HORIZON) -> list[tuple[int, int]]:
    """States along the most probable transitions, each with the action taken there; -1 in the last."""
    every, k, s = [*plan, Phase(agent.policy, None)], 0, start
    found: list[tuple[int, int]] = []
    matrix: Any = world.transition
    for _ in range(horizon):
        while k < len(plan) and (until := every[k].until) is not None and until[s]:
            k += 1
        if world.over[s]:
            break
        action = int(every[k].policy[s])
        found.append((s, action))
        s = int(matrix[[s * len(world.actions) + action]].toarray()[0].argmax())
        k += every[k].single
    return [*found, (s, -1)]


def most_probable(world: World, plan: list[Phase], agent: Agent, start: int, horizon: int = HORIZON) -> Consequences:
    """The paper's consequences: those of the most probable path."""
    along = np.array([s for s, _ in track(world, plan, agent, start, horizon)][1:], int)
    counts = {name: float(mask[along].sum()) for name, mask in world.events.items()}
    ended = bool(len(along)) and bool(world.over[along[-1]])
    ever = {name: min(1.0, n) for name, n in counts.items()}
    worth = {name: float(agent.reward[along] @ mask[along]) for name, mask in world.events.items()}
    return Consequences(counts, ever, worth, float(not ended))


def printed_foil(
    world: World, agent: Agent, state: int, action: int, *, sigma: float = 2.0, eps: float = 0.1, discount: float = 0.9
) -> Int[np.ndarray, " S"]:
    """The paper's foil policy for "why not `action` in `state`", as printed: greedy for Q + Q_I."""
    reward = (world.transition @ agent.reward).reshape(agent.q.shape)
    fact = reward[np.arange(len(reward)), agent.policy]
    own = np.zeros_like(agent.q)
    own[:, action] = discount / DISCOUNT * _weights(world, state, sigma) * (reward[:, action] - fact) * (1 + eps)
    value, foil = np.zeros(len(reward)), own
    for _ in range(HORIZON):
        foil = own + discount * (world.transition @ value).reshape(own.shape)
        value = np.where(world.over, 0.0, foil[np.arange(len(value)), np.argmax(agent.q + foil, axis=1)])
    return np.argmax(agent.q + foil, axis=1)


def margin_foil(
    world: World, agent: Agent, state: int, action: int, *, sigma: float = 2.0, eps: float = 0.1, least: float = 1e-3
) -> Int[np.ndarray, " S"]:
    """The same with what the foil action lacks in Q, and a least bonus: no learning, and followed where asked."""
    q = agent.q.copy()
    q[:, action] += _weights(world, state, sigma) * ((q.max(1) - q[:, action]) * (1 + eps) + least)
    return np.argmax(q, axis=1)


def _weights(world: World, state: int, sigma: float) -> Float[np.ndarray, " S"]:
    distance = np.abs(world.cells - world.cells[state]).sum(1)
    return np.where(world.over, 0.0, np.exp(-((distance / sigma) ** 2)))


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
    reached = float(met.sum())
    if reached < 1e-6:
        raise UserError(
            f"I never come to be {question.when}: starting at {named(world, world.start)}, the probability is 0. "
            "Ask about a place on my way, or start me elsewhere."
        )
    where = int(met.argmax())
    plan = phases(world, agent, question)
    fact, foil = (consequences(world, p, agent, met / reached, horizon) for p in ([], plan))
    contributions = {o: foil.worth[o] - fact.worth[o] for o in fact.worth}
    own, other = (sum(found.worth.values()) for found in (fact, foil))
    tracks = track(world, [], agent, where, horizon), track(world, plan, agent, where, horizon)
    x, y = world.cells[where].tolist()
    here = (world.cells == (x, y)).all(1)
    surely = float(met[here].sum()) / reached
    action = world.actions[int(agent.policy[where])]
    return Answer(question, reached, (x, y), surely, action, fact, foil, contributions, (own, other), tracks, horizon)


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
        "unfinished_fact": found.fact.unfinished, "unfinished_foil": found.foil.unfinished,
        "paths": [[world.cells[s].tolist() for s in p] for p in found.paths],
    }  # fmt: skip
