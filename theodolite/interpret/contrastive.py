"""Contrastive explanations (van der Waa et al. 2018): what would follow from what you expected, instead of what I do.

    question    a foil: phases, each a policy and a condition that ends it, after which the agent is itself again
    forward     d_{t+1} = d_t P_phase, phases change where their condition holds
    outcome     N_o = Σ_t P(arrive at o at step t),  P_o = the same with o made an end
    contrast    N_o(foil) - N_o(fact), and Σ_o value_o · contrast = the difference of the returns, exactly
    adherence   P(the plan comes to its end within the horizon, and nothing that it avoids is met)

Differences from the paper: (1) consequences are expectations over all that may happen, not those of the single most
probable path, which never shows an outcome of probability 0.3 per step; `most_probable` keeps the paper's. (2) The
paper's foil adds Q_I of a reward R(foil) - R(fact), which is 0 wherever both actions pay alike and has the wrong sign
elsewhere: `printed_foil` keeps it, `margin_foil` puts Q in place of R, and questions use plans (`contrastive_plans`),
in which the agent's own rewards choose wherever a plan leaves a choice (avoid, go to).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse.linalg import spsolve

from theodolite.core.claim import Paper
from theodolite.envs.grids import World

PAPER = Paper(
    "Contrastive Explanations for Reinforcement Learning in terms of Expected Consequences",
    "van der Waa, van Diggelen, van den Bosch, Neerincx", 2018, arxiv="1807.08706",
)  # fmt: skip
DISCOUNT, HORIZON, TOLERANCE = 0.95, 200, 1e-9
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
    forbidden: States | None = None
    """What is not to be arrived at meanwhile."""
    endless: bool = False
    """Whether it is carried out as long as nothing forbidden is arrived at, whether or not it ends."""


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
    allowed: Bool[np.ndarray, "S A"] | None = None,
) -> Float[np.ndarray, "S A"]:
    """Optimal Q by value iteration; states that `stop` are worth `then`; only allowed actions are taken."""
    shape = (len(reward), len(world.actions))
    value = np.zeros(len(reward))
    while True:
        q = (world.transition @ (reward + DISCOUNT * value)).reshape(shape)
        q[world.over] = 0.0
        q = q if allowed is None else np.where(allowed, q, -np.inf)
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


class Adherence(NamedTuple):
    """With what probabilities a plan is carried out, or why not; their sum is 1."""

    kept: float
    entered: float
    """Something that it avoids is met."""
    ended: float
    """It is over before the plan is."""
    open: float
    """The horizon is."""


def adherence(
    world: World, plan: list[Phase], agent: Agent, start: Float[np.ndarray, " S"], horizon: int = HORIZON
) -> Adherence:
    """How a plan goes from a distribution of states."""
    steps = [followed(world, phase.policy).T.tocsr() for phase in plan]
    last, mass = len(plan), np.zeros((len(plan) + 1, len(start)))
    endless = np.array([*(phase.endless for phase in plan), True])
    mass[0], kept, entered, ended = start, 0.0, 0.0, 0.0
    for t in range(horizon + 1):
        for k, phase in enumerate(plan):
            if phase.until is not None:
                mass[k + 1] += np.where(phase.until, mass[k], 0.0)
                mass[k] = np.where(phase.until, 0.0, mass[k])
        kept += float(mass[last].sum() + mass[:last][endless[:last]][:, world.over].sum())
        ended += float(mass[:last][~endless[:last]][:, world.over].sum())
        mass[last], mass[:, world.over] = 0.0, 0.0
        if t == horizon or not mass.any():
            break
        following = np.zeros_like(mass)
        for k, phase in enumerate(plan):
            moved = steps[k] @ mass[k]
            if phase.forbidden is not None:
                entered += float(moved[phase.forbidden].sum())
                moved = np.where(phase.forbidden, 0.0, moved)
            following[k + 1 if phase.single else k] += moved
        mass = following
    left = mass.sum(1)
    return Adherence(kept + float(left[endless].sum()), entered, ended, float(left[~endless].sum()))


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
