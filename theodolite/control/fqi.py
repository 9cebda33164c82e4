"""Fitted Q-iteration where everything can be known: exact, sampled and replayed, under any weighting of the table.

    Y = α T Q_k + (1 - α) Q_k;      Q_{k+1} = argmin_Q Σ w(s,a) (Q(s,a) - Y(s,a))², by steps of Adam
    exact      all pairs, w as a `Weighting` says                 (T Q: core.oracle.backup)
    sampled    `samples` new transitions of the current policy, targets r + γ V(s') of what was seen
    replay     minibatches of all that was collected so far, drawn and weighted as a `Sampler` says

Network and optimiser are carried from iteration to iteration; Q_k is the network read out, held at most 1e5. Every
iteration is measured exactly: return of its soft policy, error to Q*, loss on the data and on the policy's visits.

Differences from the authors' code:
1. A weighted loss is a sum with weights of sum one; theirs is divided by S A once more, which on large tables sinks
gradients under Adam's epsilon; 2. a fit has converged if its loss is below 1e-8 of the targets' mean square, or moves
by less than 1e-5 of itself per step, looked at every five steps; 3. returns, and visits, are exact and not of 50
rollouts; 4. smoothing acts on sampled targets too; 5. errors are over reachable states; 6. the oracle's stop looks
every five steps; 7. `held_out` is ours: a share of the transitions is kept aside, and Q_{k+1} is the one of lowest
error there; 8. a run whose network is no longer finite keeps its last finite state and counts as diverged.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from theodolite.control import weightings
from theodolite.control.weightings import Minibatch, Sampler, Sight, Weighting
from theodolite.core import optim, oracle
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, one_of, optional, positive, probability, require, sizes
from theodolite.core.config import non_negative as at_least_0
from theodolite.core.errors import UserError
from theodolite.core.nets import MLP, Linear
from theodolite.core.oracle import Oracle, Scale, Steps

PAPER = Paper("Diagnosing Bottlenecks in Deep Q-learning Algorithms", "Fu, Kumar, Soh, Levine", 2019,
              arxiv="1902.10250", venue="ICML")  # fmt: skip
METRICS = {
    "return": "exact return of the soft policy: 0 is the uniform policy's, 1 the soft-optimal one's",
    "error": "largest error to Q*, over reachable states, as a share of the largest Q*",
    "loss": "weighted squared error to the targets that were fitted, as a share of the largest Q* squared",
    "same_validation": "the same at exact targets: what the fit has learned of the backup on its own distribution",
    "validation": "squared error to exact targets on the current policy's visits, as a share of the largest Q* squared",
    "steps": "gradient steps of the fit, up to the Q that was kept",
    "entropy": "entropy of the weights over all pairs, as a share of the largest",
    "shift": "total variation between these weights and the last iteration's",
    "loss_shift": "change of the last iteration's loss if its weights are replaced by these, share of Q* squared",
    "overestimate": "mean of Q - Q* on the policy's visits, as a share of the largest Q*",
    "diverged": "1 once a Q was above ten times the largest Q*, or not finite",
}
REFRESH = 5
"""Steps between two looks at weights, convergence and validation."""
CEILING, BLOWN = 1e5, 10.0
"""Q is held below the first; above the second times the largest Q* it counts as diverged."""
SMALL, STILL = 1e-8, 1e-5
"""Convergence: of the targets' mean square, and of the loss per step."""
LEAST_STEPS, RECENT = 10, 10


@config
class Config:
    """Hyper-parameters; the defaults are the authors', with a smaller network and fewer steps."""

    hidden: tuple[int, ...] | None = (64, 64)
    """Widths of the hidden layers, ReLU; None is a table."""
    data: Literal["exact", "sampled", "replay"] = "exact"
    """What is fitted."""
    samples: int = 32
    """New transitions per iteration, where data are sampled or replayed."""
    batch_size: int = 128
    """Of replay's minibatches."""
    iterations: int = 60
    """Rounds of backup and fit."""
    max_steps: int = 100
    """Most gradient steps per iteration; a multiple of five."""
    stop: Literal["converged", "never", "oracle", "held_out"] = "converged"
    """When a fit ends, or which of its Q is kept: at convergence, after all steps, or the best by exact or held-out
    error."""
    temperature: float = 0.1
    """Of the soft backup and the soft policy; 0 is greedy."""
    smoothing: float = 1.0
    """α: share of the new target."""
    learning_rate: float = 5e-3
    """Step size of Adam."""
    kept_aside: float = 0.1
    """Probability that a transition is held out, where stop is held_out."""

    def __post_init__(self):
        require(self, hidden=optional(sizes()), data=one_of("exact", "sampled", "replay"), samples=at_least(1))
        require(self, batch_size=at_least(1), iterations=at_least(1), max_steps=at_least(REFRESH))
        require(self, stop=one_of("converged", "never", "oracle", "held_out"), temperature=at_least_0)
        require(self, smoothing=probability, learning_rate=positive, kept_aside=probability)
        if self.max_steps % REFRESH:
            raise UserError(f"max_steps = {self.max_steps}: must be a multiple of {REFRESH}. A fit is looked at every "
                            f"{REFRESH} steps.")  # fmt: skip
        if self.stop == "held_out" and self.data == "exact":
            raise UserError("stop = held_out: must be another with data = exact. Nothing is sampled that could be held "
                            "out.")  # fmt: skip


class Table(Arrays):
    """One number per pair."""

    values: Float[Array, "S A"]


class State(Arrays):
    """A run between two iterations."""

    net: MLP | Table
    opt: optim.OptState
    q: Float[Array, "S A"]
    """Q_k."""
    replayed: Float[Array, "S A"]
    """Mean visits of all policies so far."""
    recent: Float[Array, "N S A"]
    """Visits of the last ten."""
    counts: Float[Array, "S A K"]
    """How often every outcome was collected."""
    aside: Float[Array, "S A K"]
    """The same for what is held out."""
    memory: PyTree[Array]
    """The sampler's."""
    weights: Float[Array, "S A"]
    """The last iteration's."""
    errors: Float[Array, "S A"]
    """Of the last iteration's fit."""
    iteration: Int[Array, ""]
    diverged: Bool[Array, ""]


class Data(NamedTuple):
    """What one iteration is fitted to and judged by."""

    target: Float[Array, "S A"]
    outcomes: Float[Array, "S A K"]
    """Targets of single outcomes."""
    share: Float[Array, "S A K"]
    """Of the training data."""
    aside: Float[Array, "S A K"]
    """Of the data held out."""
    judges: Float[Array, "S A"]
    """The weights of the oracle's stop."""
    steps: Steps
    used: Float[Array, " n"]
    """Weights of the new transitions, sum one."""


class Fit(NamedTuple):
    """A fit under way."""

    net: MLP | Table
    opt: optim.OptState
    memory: PyTree[Array]
    weights: Float[Array, "S A"]
    loss: Float[Array, ""]
    step: Int[Array, ""]
    over: Bool[Array, ""]
    best: Float[Array, "S A"]
    best_loss: Float[Array, ""]
    best_step: Int[Array, ""]


def fresh(c: Config, key: PRNGKey, o: Oracle) -> MLP | Table:
    """A network with weights and biases uniform within 1/√inputs, PyTorch's default."""
    if c.hidden is None:
        bound = o.num_states**-0.5
        return Table(jax.random.uniform(key, o.reward.shape, o.reward.dtype, -bound, bound))
    widths = (o.obs.shape[1], *c.hidden, o.num_actions)
    layers = []
    for inputs, outputs, k in zip(widths[:-1], widths[1:], jax.random.split(key, len(widths) - 1), strict=True):
        drawn = jax.random.uniform(k, (inputs + 1, outputs), o.reward.dtype, -(inputs**-0.5), inputs**-0.5)
        layers.append(Linear(drawn[:-1], drawn[-1]))
    return MLP(tuple(layers), jax.nn.relu)


def look(
    net: MLP | Table, o: Oracle, state: Int[Array, " B"] | None = None
) -> tuple[Float[Array, "B A"], Float[Array, "B F"]]:
    """Q of all states, or of some, and the features that its last layer reads; a table's are one-hot states."""
    if isinstance(net, Table):
        index = jnp.arange(o.num_states) if state is None else state
        q = net.values if state is None else net.values[state]
        return q, jax.nn.one_hot(index, o.num_states, dtype=o.reward.dtype)
    x = o.obs if state is None else o.obs[state]
    for layer in net.layers[:-1]:
        x = net.activation(layer(x))
    return net.layers[-1](x), x


def init(c: Config, key: PRNGKey, o: Oracle, sampler: Sampler = weightings.UNIFORM) -> State:
    """Before the first iteration."""
    net_key, memory_key = jax.random.split(key)
    net = fresh(c, net_key, o)
    q, features = look(net, o)
    nothing, counts = jnp.zeros_like(q), jnp.zeros_like(o.mdp.probability)
    memory = sampler.init(memory_key, (o.obs.shape[1], o.num_actions, features.shape[1]))
    opt = optim.adam(c.learning_rate).init(net)
    recent = jnp.zeros((RECENT, *q.shape), q.dtype)
    return State(net, opt, q, nothing, recent, counts, counts, memory, nothing, nothing, jnp.int32(0), jnp.bool_(False))


def gathered(c: Config, s: State, key: PRNGKey, o: Oracle, visits: Float[Array, "S A"]) -> tuple[State, Data]:
    """Collect what this iteration may see, and back Q_k up."""
    collect_key, aside_key = jax.random.split(key)
    value = oracle.soft_max(s.q, c.temperature)
    target = c.smoothing * oracle.backup(o, s.q, c.temperature) + (1 - c.smoothing) * s.q
    outcomes = c.smoothing * oracle.outcomes(o, value) + (1 - c.smoothing) * s.q[..., None]
    if c.data == "exact":
        nowhere = jnp.zeros(0, jnp.int32)
        return s, Data(target, outcomes, s.counts, s.aside, visits, Steps(*3 * [nowhere]), jnp.zeros(0, target.dtype))
    steps = oracle.collect(o, oracle.policy(s.q, c.temperature), collect_key, c.samples)
    used = jnp.ones(steps.state.shape, target.dtype)
    if c.stop == "held_out":
        used = (jax.random.uniform(aside_key, used.shape) >= c.kept_aside).astype(target.dtype)
    new, new_aside = (oracle.counted(o, steps, weight) for weight in (used, 1 - used))
    counts, aside = (s.counts + new, s.aside + new_aside) if c.data == "replay" else (new, new_aside)
    share = counts / jnp.maximum(jnp.sum(counts), 1)
    judges = jnp.sum(share, -1) if c.data == "replay" else visits
    s = eqx.tree_at(lambda x: (x.counts, x.aside), s, (counts, aside))
    held = aside / jnp.maximum(jnp.sum(aside), 1)
    return s, Data(target, outcomes, share, held, judges, steps, used / jnp.maximum(jnp.sum(used), 1))


def update(
    c: Config, s: State, key: PRNGKey, o: Oracle, scale: Scale,
    weigh: Weighting = weightings.uniform, sampler: Sampler = weightings.UNIFORM,
) -> tuple[State, Metrics]:  # fmt: skip
    """One iteration: back up, fit, measure."""
    data_key, fit_key = jax.random.split(key)
    visits = oracle.visitation(o, oracle.policy(s.q, c.temperature))
    count = s.iteration.astype(visits.dtype)
    replayed = (s.replayed * count + visits) / (count + 1)
    recent = s.recent.at[s.iteration % RECENT].set(visits)
    s = eqx.tree_at(lambda x: (x.replayed, x.recent), s, (replayed, recent))
    s, data = gathered(c, s, data_key, o, visits)
    sight = Sight(o, scale, c.temperature, visits, replayed, jnp.sum(recent, 0) / jnp.minimum(count + 1, RECENT),
                  s.q, data.target, look(s.net, o)[1])  # fmt: skip
    end = fit(c, s, fit_key, sight, data, weigh, sampler)
    q = look(end.net, o)[0]
    end = _judged(c, data, end, q)
    if c.stop in ("oracle", "held_out"):
        q = end.best
    top = jnp.max(jnp.abs(scale.q))
    finite = jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves((end.net, end.opt, q))]))
    blown = s.diverged | ~finite | (jnp.max(jnp.abs(q)) > BLOWN * top)
    q = jnp.where(finite, jnp.minimum(q, CEILING), s.q)
    held = jax.tree.map(lambda new, old: jnp.where(finite, new, old), (end.net, end.opt, end.memory),
                        (s.net, s.opt, s.memory))  # fmt: skip
    metrics = _measured(c, s, o, scale, data, end, q) | {"diverged": blown.astype(q.dtype)}
    net, opt, memory = held
    new = State(net, opt, q, s.replayed, s.recent, s.counts, s.aside, memory, end.weights, data.target - q,
                s.iteration + 1, blown)  # fmt: skip
    return new, metrics


def fit(c: Config, s: State, key: PRNGKey, sight: Sight, data: Data, weigh: Weighting, sampler: Sampler) -> Fit:
    """Adam on the weighted error, a few steps at a time."""
    first = Fit(s.net, s.opt, s.memory, jnp.zeros_like(s.q), jnp.asarray(jnp.inf, s.q.dtype), jnp.int32(0),
                jnp.bool_(False), s.q, jnp.asarray(jnp.inf, s.q.dtype), jnp.int32(0))  # fmt: skip
    progress = s.iteration.astype(s.q.dtype) / c.iterations
    square = jnp.mean(data.target**2)

    def chunk(f: Fit) -> Fit:
        q, features = look(f.net, sight.oracle)
        f = _judged(c, data, f, q)
        keys = jax.random.split(jax.random.fold_in(key, f.step), REFRESH)
        now = sight._replace(q=q, features=features)
        loss, weights = _objective(c, now, data, weigh, sampler, progress)

        def step(carry: tuple, k: Array) -> tuple[tuple, Array]:
            net, opt, memory = carry
            (value, memory), gradient = jax.value_and_grad(loss, has_aux=True)(net, memory, k)
            return (*optim.apply(optim.adam(c.learning_rate), gradient, opt, net), memory), value

        (net, opt, memory), losses = jax.lax.scan(step, (f.net, f.opt, f.memory), keys)
        still = jnp.abs(losses[-1] - losses[-2]) <= STILL * losses[-2]
        over = (f.step + REFRESH >= LEAST_STEPS) & (still | (losses[-1] <= SMALL * square))
        over = over & (c.stop == "converged")
        return Fit(net, opt, memory, weights, losses[-1], f.step + REFRESH, over, f.best, f.best_loss, f.best_step)

    return jax.lax.while_loop(lambda f: ~f.over & (f.step < c.max_steps), chunk, first)


def _objective(c: Config, x: Sight, data: Data, weigh: Weighting, sampler: Sampler, progress: Array) -> Any:
    """The loss of the next few steps, a function of (net, memory, key), and the weights of pairs behind it."""
    o = x.oracle
    if c.data == "exact":
        weights = weightings.normalised(weigh(x))

        def table(net: Any, memory: Any, key: Array) -> tuple[Array, Any]:
            return jnp.sum(weights * (look(net, o)[0] - data.target) ** 2), memory

        return table, weights
    if c.data == "sampled":
        state, action, outcome = data.steps

        def batch(net: Any, memory: Any, key: Array) -> tuple[Array, Any]:
            q = look(net, o, state)[0]
            errors = data.outcomes[state, action, outcome] - jnp.take_along_axis(q, action[:, None], -1)[:, 0]
            return jnp.sum(data.used * errors**2), memory

        return batch, jnp.sum(data.share, -1)
    odds = sampler.odds(data.share, (x.q[..., None] - data.outcomes) ** 2)
    favour = odds / jnp.where(data.share > 0, data.share, 1)
    return partial(_replayed, c, o, data, favour, jnp.cumsum(odds.ravel()), sampler, progress), jnp.sum(odds, -1)


def _replayed(
    c: Config, o: Oracle, data: Data, favour: Array, cumulative: Array, sampler: Sampler, progress: Array,
    net: Any, memory: Any, key: PRNGKey,
) -> tuple[Array, Any]:  # fmt: skip
    """The loss of one minibatch, drawn by cumulative odds."""
    uniform = jax.random.uniform(key, (c.batch_size,), cumulative.dtype) * cumulative[-1]
    flat = jnp.minimum(jnp.searchsorted(cumulative, uniform, side="right"), cumulative.size - 1)
    state, action, outcome = jnp.unravel_index(flat, data.share.shape)
    q, features = look(net, o, state)
    squared = (data.outcomes[state, action, outcome] - jnp.take_along_axis(q, action[:, None], -1)[:, 0]) ** 2
    seen = Minibatch(o.obs[state], action, jax.lax.stop_gradient(squared), jax.lax.stop_gradient(features),
                     favour[state, action, outcome], progress)  # fmt: skip
    memory, weights = sampler.weigh(memory, seen)
    return jnp.sum(weights * squared), memory


def _judged(c: Config, data: Data, f: Fit, q: Array) -> Fit:
    """Keep Q if it is the best so far by the rule of the stop."""
    if c.stop not in ("oracle", "held_out"):
        return f._replace(best_step=f.step)
    if c.stop == "oracle":
        loss = jnp.sum(data.judges * (q - data.target) ** 2)
    else:
        loss = jnp.sum(data.aside * (q[..., None] - data.outcomes) ** 2)
    better = (f.step > 0) & (loss <= f.best_loss)
    return f._replace(best=jnp.where(better, q, f.best), best_loss=jnp.where(better, loss, f.best_loss),
                      best_step=jnp.where(better, f.step, f.best_step))  # fmt: skip


def _measured(c: Config, s: State, o: Oracle, scale: Scale, data: Data, end: Fit, q: Array) -> Metrics:
    """Every metric but the last."""
    top = jnp.max(jnp.abs(scale.q))
    pi = oracle.policy(q, c.temperature)
    exact = (q - data.target) ** 2
    pairs = end.weights if c.data == "exact" else jnp.sum(data.share, -1)
    seen = jnp.sum(data.share * (q[..., None] - data.outcomes) ** 2)
    visits = s.recent[s.iteration % RECENT]
    off = jnp.where(o.reachable[:, None], jnp.abs(q - scale.q), 0)
    moved = jnp.abs(jnp.sum(end.weights * s.errors**2) - jnp.sum(s.weights * s.errors**2))
    return {
        "return": scale.normalised(oracle.expected_return(o, pi)),
        "error": jnp.max(off) / top,
        "loss": (jnp.sum(pairs * exact) if c.data == "exact" else seen) / top**2,
        "same_validation": jnp.sum(pairs * exact) / top**2,
        "validation": jnp.sum(visits * exact) / top**2,
        "steps": end.best_step.astype(q.dtype),
        "entropy": weightings.entropy(end.weights),
        "shift": weightings.shift(end.weights, s.weights),
        "loss_shift": moved / top**2,
        "overestimate": jnp.sum(visits * (q - scale.q)) / top,
    }


def run(
    o: Oracle, c: Config, keys: Key[Array, " S"], *,
    weigh: Weighting = weightings.uniform, sampler: Sampler = weightings.UNIFORM,
) -> tuple[State, Metrics]:  # fmt: skip
    """Runs of all iterations, one per key: the last states, and metrics [seeds, iterations]."""
    return _jitted(o, c, keys, oracle.scale(o, c.temperature), weigh, sampler)


def runs(
    o: Oracle, c: Config, keys: Key[Array, " S"], scale: Scale, weigh: Weighting, sampler: Sampler
) -> tuple[State, Metrics]:
    """What `run` compiles: the references of the world are given, and come from a program of their own."""

    def one(key: PRNGKey) -> tuple[State, Metrics]:
        init_key, run_key = jax.random.split(key)
        step = lambda s, k: update(c, s, k, o, scale, weigh, sampler)  # noqa: E731
        return jax.lax.scan(step, init(c, init_key, o, sampler), jax.random.split(run_key, c.iterations))

    return jax.vmap(one)(keys)


_jitted = jax.jit(runs, static_argnames=("weigh", "sampler"))
