"""Maximum-entropy inverse reinforcement learning in known finite worlds: the reward whose soft-optimal policy visits
what the demonstrator visited.

    max_r  E_demo[Σ_t γ^t log π_r(a_t|s_t)],      gradient  (μ_E - μ_{π_r}) / α

Rewards are arrays over (s), (s,a) or (s,a,s'), made by any function of any parameters. `reward_gradient` takes one
world and returns the gradient with respect to that array; `loss` hands it to automatic differentiation, so a network
learns without differentiating through the planner; both are vmapped over worlds. `fit` is the loop for a batch of
worlds that share parameters, `solve` Newton's method for a reward that is linear in features, and `solve_states` for a
reward of states, which needs no planner at all.

Differences from the papers:
1. Discounted and infinite horizons beside the undiscounted finite one; visits are un-normalised on both sides.
2. Two objectives. `matching` (both papers) compares visits with those the demonstrations' own start states lead to;
   `likelihood` conditions on the states that were seen, which has less noise in stochastic worlds and needs neither
   time stamps nor whole episodes. With exact expert visits, and in deterministic worlds, they are one.
3. `causal=False` is the model of 2008, in which outcomes are chosen as actions are. Its gradient is exact too: the
   visits are those of the tilted dynamics. The paper's forward pass uses the true dynamics instead.
4. Nothing is added for the state after the last action.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from theodolite.core import newton, optim, soft_planning, tabular
from theodolite.core.arrays import Arrays, Metrics, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, non_negative, one_of, optional, positive, require
from theodolite.core.soft_planning import Model, Plan, Reward
from theodolite.core.tabular import MDP

PAPER = Paper("Modeling Interaction via the Principle of Maximum Causal Entropy", "Ziebart et al.", 2010, venue="ICML")
PAPER_2008 = Paper("Maximum Entropy Inverse Reinforcement Learning", "Ziebart et al.", 2008, venue="AAAI")
METRICS = {
    "loss": "minus the objective: discounted log-likelihood of the demonstrations, nats per episode",
    "mismatch": "largest difference between the expert's visits and the policy's, over pairs",
    "reward_range": "largest minus smallest reward",
    "unseen_share": "share of the reward's mass, |r|, on states that the expert never visits",
    "entropy": "mean entropy of the policy where it goes, nats",
}


@config
class Config:
    """How rewards are fitted; the defaults are maximum causal entropy over an infinite horizon, exactly."""

    objective: Literal["matching", "likelihood"] = "matching"
    """What is maximised, see the module; equal in deterministic worlds and for exact visits."""
    causal: bool = True
    """Outcomes are chance (2010); otherwise they are chosen as actions are (2008)."""
    horizon: int | None = None
    """Actions per episode; left out, episodes never end."""
    sweeps: int | None = None
    """Backups, and steps of visitation, per gradient when nothing ends; left out, both are solved exactly."""
    temperature: float = 1.0
    """α: how much entropy is worth; the reward scales with it."""
    learning_rate: float = 0.05
    """Step size of Adam."""
    l2: float = 0.0
    """Weight of half the squared norm of the parameters: keeps rewards finite where the expert never goes."""

    def __post_init__(self):
        require(
            self,
            objective=one_of("matching", "likelihood"),
            horizon=optional(at_least(1)),
            sweeps=optional(at_least(1)),
            temperature=positive,
            learning_rate=positive,
            l2=non_negative,
        )


class Expert(Arrays):
    """What demonstrations say of one world: discounted visits per episode, and where episodes start.

    `visits` has a leading time axis if the horizon is finite. `outcomes` are the visits of (s, a, k), for rewards of
    successors under `matching`; left out, the world's own probabilities stand in.
    """

    visits: Float[Array, "... S A"]
    initial: Float[Array, " S"]
    outcomes: Float[Array, "S A K"] | None = None


class State(Arrays):
    """Parameters of the reward, the optimiser's moments, and the values from which planning starts again. [B, S]"""

    params: PyTree[Array]
    opt: optim.OptState
    value: Float[Array, "B S"]


def init(c: Config, params: PyTree[Array], worlds: Model) -> State:
    """The state before the first step; `worlds` has a leading axis B."""
    return State(params, optim.adam(c.learning_rate).init(params), jnp.zeros_like(worlds.initial))


def exact_expert(m: Model, p: Plan) -> Expert:
    """A demonstrator who follows a plan for ever: no noise."""
    mu = soft_planning.visits(m, p, m.initial)
    return Expert(mu, m.initial, soft_planning.outcome_visits(m, p, mu))


def expert_of(
    m: Model,
    state: Int[Array, "N states"],
    action: Int[Array, "N T"],
    taken: Bool[Array, "N T"] | None = None,
    *,
    per_step: bool = False,
) -> Expert:
    """Visits of N episodes; steps with `taken` false are padding. `per_step` keeps time, for a finite horizon.

    With an infinite horizon episodes cut at T lack the share γ^T of their visits, which biases `matching` but not
    `likelihood`.
    """
    there = jnp.ones(action.shape, bool) if taken is None else taken
    shape, dtype = soft_planning.available(m).shape, m.initial.dtype
    episodes, steps = action.shape
    weight = there.astype(dtype) * m.discount ** jnp.arange(steps, dtype=dtype)[None] / episodes
    time = jnp.broadcast_to(jnp.arange(steps, dtype=jnp.int32)[None], action.shape)
    state, action = state.astype(jnp.int32), action.astype(jnp.int32)
    now, following = state[:, :-1], state[:, 1:]
    visits = jnp.zeros((steps, *shape), dtype).at[time, now, action].add(weight)
    if isinstance(m, MDP):
        outcomes = jnp.zeros(m.transition.shape, dtype).at[now, action, following].add(weight)
    else:
        # several listings of one successor share the visit
        listed = (m.successor[now, action] == following[..., None]) & (m.probability[now, action] > 0)
        share = listed.astype(dtype) / jnp.maximum(listed.sum(-1, keepdims=True), 1).astype(dtype)
        outcomes = jnp.zeros(m.successor.shape, dtype).at[now, action].add(weight[..., None] * share)
    initial = jnp.zeros(shape[0], dtype).at[state[:, 0]].add(1 / episodes)
    return Expert(visits if per_step else visits.sum(0), initial, outcomes)


def planned(c: Config, m: Model, reward: Reward, start: Float[Array, " S"] | None = None) -> Plan:
    """The soft-optimal policy of a reward under the settings."""
    return soft_planning.plan(
        m, reward, c.temperature, horizon=c.horizon, sweeps=c.sweeps, causal=c.causal, start=start
    )


class Gradient(Arrays):
    """What a reward is worth to the demonstrations: the objective, its slope, and the plan behind both."""

    objective: Float[Array, ""]
    reward: Reward
    plan: Plan
    metrics: Metrics


def reward_gradient(
    c: Config, m: Model, expert: Expert, reward: Reward, start: Float[Array, " S"] | None = None
) -> Gradient:
    """The objective and its gradient with respect to the reward of one world.

    Of Σ w (Q - V) / α, the likelihood, that is w, plus the visits that start where w leads, minus those that start
    where w is; `matching` puts the demonstrations' start states in the place of that difference.
    """
    p = planned(c, m, reward, start)
    mu = soft_planning.visits(m, p, expert.initial)
    if c.objective == "matching":
        seen = _seen_outcomes(m, expert) if reward.ndim == 3 else _over_time(c, expert.visits)
        first = p.value[0] if c.horizon is not None else p.value
        objective = jnp.sum(_of_pairs(seen, reward) * reward) - expert.initial @ first
        slope = seen - (soft_planning.outcome_visits(m, p, mu) if reward.ndim == 3 else _over_time(c, mu))
    else:
        w = expert.visits
        objective = c.temperature * jnp.sum(jnp.where(w > 0, w * jnp.where(w > 0, p.log_policy, 0), 0))
        mass = w + soft_planning.visits(m, p, soft_planning.lead(m, p, w) - w.sum(-1))
        slope = soft_planning.outcome_visits(m, p, mass) if reward.ndim == 3 else _over_time(c, mass)
    metrics = report(c, p, expert, mu) | {"loss": -objective / c.temperature}
    return Gradient(objective / c.temperature, _of_pairs(slope, reward) / c.temperature, p, metrics)


def _over_time(c: Config, visits: Float[Array, "... S A"]) -> Float[Array, "S A"]:
    return visits.sum(0) if c.horizon is not None else visits


def _seen_outcomes(m: Model, expert: Expert) -> Float[Array, "S A K"]:
    if expert.outcomes is not None:
        return expert.outcomes
    visits = expert.visits.sum(0) if expert.visits.ndim == 3 else expert.visits
    return visits[..., None] * soft_planning.probabilities(m)


def _of_pairs(visits: Array, reward: Reward) -> Reward:
    """Visits summed to the shape of the reward."""
    return visits.sum(-1) if reward.ndim == 1 else visits


def report(c: Config, p: Plan, expert: Expert, mu: Float[Array, "... S A"]) -> Metrics:
    """How far the policy is from the expert, and what the reward looks like."""
    of_expert, of_policy = _over_time(c, expert.visits), _over_time(c, mu)
    size = jnp.abs(p.reward).reshape(p.reward.shape[0], -1).sum(-1)
    unseen = jnp.sum(jnp.where(of_expert.sum(-1) > 0, 0, size)) / jnp.maximum(size.sum(), 1e-12)
    surprise = jnp.where(mu > 0, mu * jnp.where(mu > 0, -p.log_policy, 0), 0)
    return {
        "mismatch": jnp.max(jnp.abs(of_expert - of_policy)),
        "reward_range": p.reward.max() - p.reward.min(),
        "unseen_share": unseen,
        "entropy": surprise.sum() / mu.sum(),
    }


def loss(
    c: Config, m: Model, expert: Expert, reward: Reward, start: Float[Array, " S"] | None = None
) -> tuple[Array, tuple[Metrics, Plan]]:
    """Minus the objective. Its derivative in the reward is the closed form; in everything else it counts as constant.

    So jax.grad of loss(c, m, expert, network(params)) trains the network, and no gradient passes through the planner.
    """
    found = jax.lax.stop_gradient(reward_gradient(c, m, expert, jax.lax.stop_gradient(reward), start))
    towards = jnp.sum(found.reward * (reward - jax.lax.stop_gradient(reward)))
    return -found.objective - towards, (found.metrics, found.plan)


RewardFunction = Callable[[PyTree[Array]], Array]
"""Parameters to the rewards of every world, with a leading axis B."""


def update(c: Config, reward: RewardFunction, worlds: Model, experts: Expert, s: State) -> tuple[State, Metrics]:
    """One step of Adam on the mean objective of a batch of worlds that share their parameters."""

    def total(params: PyTree[Array]) -> tuple[Scalar, tuple[Metrics, Array]]:
        losses, (metrics, plan) = jax.vmap(partial(loss, c))(worlds, experts, reward(params), s.value)
        squares = sum(jnp.sum(x**2) for x in jax.tree.leaves(params))
        value = plan.value[:, 0] if c.horizon is not None else plan.value
        return losses.mean() + c.l2 / 2 * squares, (metrics, value)

    gradient, (metrics, value) = jax.grad(total, has_aux=True)(s.params)
    params, opt = optim.apply(optim.adam(c.learning_rate), gradient, s.opt, s.params)
    means = {name: (m.max() if name == "mismatch" else m.mean()) for name, m in metrics.items()}
    return State(params, opt, jax.lax.stop_gradient(value)), means


def fit(
    c: Config, reward: RewardFunction, params: PyTree[Array], worlds: Model, experts: Expert, steps: int
) -> tuple[State, Metrics]:
    """`steps` steps, as one loop on the device: the last state, and the metrics of every step. [steps]

    Every step plans from where the one before it ended. For worlds with parameters of their own, vmap this over
    batches of one world.
    """
    return jax.lax.scan(lambda s, _: update(c, reward, worlds, experts, s), init(c, params, worlds), None, length=steps)


def solve(
    m: MDP,
    visits: Float[Array, "S A"],
    features: Float[Array, "S A D"],
    *,
    temperature: Scalar = 1.0,
    l2: Scalar = 0.0,
    max_steps: int = 100,
) -> newton.Minimum:
    """Weights of the linear reward features · w that match an expert's visits, by Newton's method; `x` holds them.

    The dual p_0 · V(w) - Σ μ_E r(w) + l2 ‖w‖²/2 is convex with exact derivatives, so tens of steps do. Directions that
    no visit depends on, such as the constant of a one-hot reward, stay at 0. Expert visits that no policy has, as from
    few demonstrations, have no minimum without `l2`.
    """
    flat = features.reshape(-1, features.shape[-1])

    def dual(w: Array, _: Array) -> Array:
        reward = features @ w
        return m.initial @ tabular.soft_value(m, reward, temperature) - jnp.sum(visits * reward) + l2 / 2 * w @ w

    def derivatives(w: Array, mu: Array) -> tuple[Array, Array, Array]:
        reward = features @ w
        policy = tabular.soft_policy(m, reward, temperature)
        slope = flat.T @ (tabular.occupancy(m, policy) - visits).reshape(-1) + l2 * w
        return dual(w, mu), slope, curvature(m, policy, features) / temperature + l2 * jnp.eye(w.size, dtype=w.dtype)

    start = jnp.zeros(features.shape[-1], features.dtype)
    once = jnp.zeros(1, features.dtype)
    return newton.minimise(dual, start, newton.unconstrained(start), once, derivatives=derivatives, max_steps=max_steps)


def curvature(m: MDP, policy: Float[Array, "S A"], features: Float[Array, "S A D"]) -> Float[Array, "D D"]:
    """α times the Hessian of p_0 · V in the weights: the covariance of the advantage's slopes where the policy goes.

    `tabular.soft_curvature` between features, at the cost of D solves instead of S A.
    """
    states = policy.shape[0]
    system = jnp.eye(states, dtype=policy.dtype) - m.discount * tabular.policy_transition(m, policy)
    slope_v = jnp.linalg.solve(system, jnp.einsum("sa,sad->sd", policy, features))
    advantage = features + m.discount * jnp.einsum("sat,td->sad", m.transition, slope_v) - slope_v[:, None]
    return jnp.einsum("sa,sad,sae->de", tabular.occupancy(m, policy), advantage, advantage)


class StateReward(Arrays):
    """A reward of states with the soft value it came from; `newton.MESSAGES[code]` says how the search ended."""

    reward: Float[Array, " S"]
    value: Float[Array, " S"]
    steps: Int[Array, ""]
    code: Int[Array, ""]


def solve_states(
    m: MDP, visits: Float[Array, "S A"], *, temperature: Scalar = 1.0, l2: Scalar = 0.0, max_steps: int = 100
) -> StateReward:
    """The reward of states that maximises the likelihood, without any planning.

    A reward r(s) can pay for whatever a value V asks of it: π = softmax_a(γ P V / α) and r = V - α log Σ_a exp(γ P V/α)
    solve the soft Bellman equation for every V. So the log-likelihood Σ μ_E log π is that of a logistic regression of
    actions on γ P(·|s,a) with weights V: concave, S unknowns, about ten steps. With exact visits its policy's visits
    are the expert's. `l2` weighs half the squared norm of V, for experts that never take some action.
    """
    features = m.discount * m.transition / temperature  # [S, A, S]
    seen = visits.sum(-1)

    def surprise(value: Array, _: Array) -> Array:
        scores = features @ value
        chosen = jnp.sum(visits * scores) - seen @ jax.nn.logsumexp(scores, axis=-1)
        return -chosen + l2 / 2 * value @ value

    def derivatives(value: Array, mu: Array) -> tuple[Array, Array, Array]:
        policy = jax.nn.softmax(features @ value)
        expected = jnp.einsum("sa,sat->st", policy, features)
        slope = jnp.einsum("sa,sat->t", seen[:, None] * policy - visits, features) + l2 * value
        apart = features - expected[:, None]
        bend = jnp.einsum("sa,sat,sau->tu", seen[:, None] * policy, apart, apart)
        return surprise(value, mu), slope, bend + l2 * jnp.eye(value.size, dtype=value.dtype)

    start = jnp.zeros_like(m.initial)
    found = newton.minimise(
        surprise, start, newton.unconstrained(start), start[:1], derivatives=derivatives, max_steps=max_steps
    )
    later = temperature * jax.nn.logsumexp(features @ found.x, axis=-1)
    return StateReward(found.x - later, found.x, found.steps, found.code)
