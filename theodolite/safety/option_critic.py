"""Option-critic with binary features: options, their policies and their endings learned from reward, step by step.

    option ω = (π(a|s,ω), β(s,ω));   U(ω,s') = (1 - β(s',ω)) Q_O(s',ω) + β(s',ω) max Q_O(s',·)              (3)
    y = r + γ U(ω,s');   Q_O(s,ω) += α (y - q),   Q_U(s,ω,a) += α (y - Q_U(s,ω,a))                          (2)
    θ += α_π (Q_U(s,ω,a) - Q_O(s,ω)) ∇θ log π(a|s,ω)                                                   theorem 1
    φ -= α_β ∇φ β(s',ω) (Q_O(s',ω) - max Q_O(s',·) + η)                                                theorem 2

Tables are features that are on one at a time; tile coding makes the same code linear. With one option it is a flat
actor-critic. All runs of a sweep are one program: a scan over steps of a vmap over lanes, each taking run after run.

Differences from the paper, the first four after the authors' code:
1. The policy over options is Boltzmann in Q_O (ε-greedy is a setting), the greedy value stays in U; 2. q is Q_O(s,ω)
as it was when the pair was entered; 3. the factor 1/temperature of ∇ log π is left to the step size; 4. actions and
options are drawn before the step's learning, which uses the updated Q_O for Q_U and the updated critics for the
gradients; 5. the endings' gradient is that of the arrival state s' and the option that was running, where the authors'
script takes the next option; 6. nothing is learned about endings where the episode ended; 7. episodes that a time
limit cut bootstrap; 8. step sizes are divided by the number of active features.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from theodolite.core.arrays import Arrays, PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.config import at_least, config, non_negative, one_of, positive, probability, require
from theodolite.core.env import Discrete, Env, EnvState, auto_reset
from theodolite.core.errors import UserError
from theodolite.core.tiles import Features
from theodolite.safety.option_chain import Options
from theodolite.safety.penalty import NONE, Memory, Penalty, Visit

PAPER = Paper("The Option-Critic Architecture", "Bacon, Harb, Precup", 2017, arxiv="1609.05140")
METRICS = {
    "return": "discounted return of an episode, without penalties",
    "steps": "steps per episode",
    "hazards": "steps per episode that arrive where the task says it is risky",
    "switches": "endings of options per step",
    "cost": "mean penalty per step that the critics were charged",
}
CHUNK = 1_000
"""Steps between two looks at which runs have had their episodes."""


@config
class Config:
    """Hyper-parameters; the defaults suit the four rooms."""

    num_options: int = 4
    """Options, all available everywhere; 1 is a flat actor-critic."""
    discount: float = 0.99
    """γ, per step."""
    critic_rate: float = 0.2
    """α: step size of both critics."""
    policy_rate: float = 0.05
    """α_π: step size of the policies inside options."""
    termination_rate: float = 0.05
    """α_β: step size of the endings."""
    temperature: float = 0.1
    """Of the softmax over actions inside an option."""
    choice: Literal["softmax", "epsilon_greedy"] = "softmax"
    """How the next option is chosen by its value."""
    option_temperature: float = 0.1
    """Of the softmax over options."""
    epsilon: float = 0.1
    """Probability of a uniform option under epsilon_greedy."""
    baseline: bool = True
    """Subtract Q_O(s,ω) from Q_U(s,ω,a) in the policies' gradient."""
    deliberation_cost: float = 0.0
    """η: what an ending must be worth."""
    initial: float = 0.0
    """Weights of Q_O, policies and endings at the start."""
    initial_spread: float = 0.0
    """Q_U starts uniform between 0 and this."""

    def __post_init__(self):
        require(self, num_options=at_least(1), discount=probability, critic_rate=positive, policy_rate=non_negative)
        require(self, termination_rate=non_negative, temperature=positive, option_temperature=positive)
        require(self, choice=one_of("softmax", "epsilon_greedy"), epsilon=probability)
        require(self, deliberation_cost=non_negative, initial_spread=non_negative)


class Heads(NamedTuple):
    """What is known of a state: for every option its value, the logit of its ending, and two numbers per action."""

    value: Float[Array, "*F W"]
    ending: Float[Array, "*F W"]
    action_value: Float[Array, "*F W A"]
    preference: Float[Array, "*F W A"]


class State(Arrays):
    """Weights of features; the heads lie side by side, so that a step touches memory in one place."""

    weights: Float[Array, "*S F W C"]

    @property
    def heads(self) -> Heads:
        """The weights of all features by head; with one-hot features, the tables."""
        return _split(self.weights)

    def read(self, features: Int[Array, " K"]) -> Heads:
        """The heads of a state: sums over its active features."""
        return self.read_all(features)[0]

    def read_all(self, *several: Int[Array, " K"]) -> tuple[Heads, ...]:
        """The heads of several states by one access: with a second one XLA would copy the weights at every step."""
        found = self.weights[jnp.stack(several)].sum(1)
        return tuple(_split(row) for row in found)


class Task(NamedTuple):
    """A world with discrete actions, how it is seen, and which arrivals count as risky."""

    env: Env
    features: Features
    hazard: Callable[[Array], Bool[Array, ""]]


class Transition(NamedTuple):
    """A step to learn from: features before and after, what was running, and Q_O when the pair was entered."""

    features: Int[Array, " K"]
    option: Int[Array, ""]
    action: Int[Array, ""]
    entered: Float[Array, ""]
    reward: Float[Array, ""]
    arrived: Int[Array, " K"]
    terminated: Bool[Array, ""]
    first: Bool[Array, ""]


def _split(weights: Float[Array, "*F C"]) -> Heads:
    half = 1 + weights.shape[-1] // 2
    return Heads(weights[..., 0], weights[..., 1], weights[..., 2:half], weights[..., half:])


def init(c: Config, key: PRNGKey, features: Features, num_actions: int) -> State:
    """Weights at the start, shared out among the active features."""
    shape = (features.num, c.num_options)
    known = jnp.full((*shape, 2 + 2 * num_actions), c.initial)
    drawn = c.initial_spread * jax.random.uniform(key, (*shape, num_actions))
    return State(known.at[..., 2 : 2 + num_actions].set(drawn) / features.active)


def option_probs(c: Config, value: Float[Array, "*F W"]) -> Float[Array, "*F W"]:
    """The policy over options."""
    if c.choice == "softmax":
        return jax.nn.softmax(value / c.option_temperature)
    greedy = jax.nn.one_hot(jnp.argmax(value, -1), c.num_options)
    return c.epsilon / c.num_options + (1 - c.epsilon) * greedy


def action_probs(c: Config, preference: Float[Array, "*F A"]) -> Float[Array, "*F A"]:
    """The policies inside options."""
    return jax.nn.softmax(preference / c.temperature)


def _drawn(probs: Float[Array, " K"], uniform: Float[Array, ""]) -> Int[Array, ""]:
    return jnp.sum(uniform >= jnp.cumsum(probs)[:-1], dtype=jnp.int32)


def act(
    c: Config, there: Heads, option: Int[Array, ""], fresh: Bool[Array, ""], key: PRNGKey
) -> tuple[Int[Array, ""], Int[Array, ""], Float[Array, ""], Bool[Array, ""]]:
    """Option and action in a state, Q_O of the option, and whether it was chosen now; `fresh` forces a choice."""
    uniform = jax.random.uniform(key, (3,))
    ended = fresh | (uniform[0] < jax.nn.sigmoid(there.ending[option]))
    option = jnp.where(ended, _drawn(option_probs(c, there.value), uniform[1]), option)
    action = _drawn(action_probs(c, there.preference[option]), uniform[2])
    return option, action, there.value[option], ended


def update(
    c: Config, s: State, t: Transition, seen: tuple[Heads, Heads], penalty: Penalty, memory: Memory, live: Scalar
) -> tuple[State, Memory, Float[Array, ""]]:
    """Learn from one step; returns the cost that the critics were charged.

    `seen` are the heads of both states as they stand; `live` = 0 changes nothing.
    """
    (now, after), active = seen, t.features.size
    ends, goes_on = jax.nn.sigmoid(after.ending[t.option]), 1 - t.terminated.astype(jnp.float32)

    def target(value: Float[Array, " W"]) -> Float[Array, ""]:
        upon_arrival = (1 - ends) * value[t.option] + ends * jnp.max(value)  # (3)
        return t.reward + c.discount * goes_on * upon_arrival

    before = now.action_value[t.option, t.action]
    probs = action_probs(c, now.preference[t.option])
    visit = Visit(t.features, t.option, t.action, probs, target(after.value) - before, t.first)
    cost = penalty.cost(memory, visit)
    step_o = c.critic_rate * (target(after.value) - cost - t.entered)
    shared = jnp.sum(t.features[:, None] == t.arrived[None]) / active
    value = after.value.at[t.option].add(shared * step_o)  # the states may have features in common
    step_u = c.critic_rate * (target(value) - cost - before)
    visit = visit._replace(error=target(value) - before - step_u)
    memory, weight, elsewhere = penalty.score(memory, visit, lambda f, o: action_probs(c, s.read(f).preference[o]))
    advantage = before + step_u - (now.value[t.option] + step_o if c.baseline else 0.0)
    step_p = c.policy_rate * (advantage - weight) * _centred(t.action, probs)
    step_e = c.termination_rate * goes_on * ends * (1 - ends) * (value[t.option] - value.max() + c.deliberation_cost)
    pushed = 0.0 if penalty.push is None else c.critic_rate * penalty.push(memory, visit)
    taken = jax.nn.one_hot(t.action, probs.size)
    here = jnp.concatenate([jnp.stack([step_o, 0 * step_o]), (step_u + pushed) * taken, step_p])
    there = jnp.zeros_like(here).at[1].set(-step_e)
    rows = [(t.features, t.option, here), (t.arrived, t.option, there)]
    if elsewhere is not None:
        step = -c.policy_rate * elsewhere.weight * _centred(elsewhere.action, elsewhere.probs)
        rows.append((elsewhere.features, elsewhere.option, jnp.pad(step, (2 + probs.size, 0))))
    return _added(s, rows, live / active), memory, cost


def _centred(action: Int[Array, ""], probs: Float[Array, " A"]) -> Float[Array, " A"]:
    """∇ log π with respect to the preferences, but for 1/temperature."""
    return jax.nn.one_hot(action, probs.size) - probs


def _added(s: State, rows: list[tuple[Array, Array, Array]], scale: Scalar) -> State:
    features = jnp.concatenate([f for f, _, _ in rows])
    options = jnp.concatenate([jnp.full(f.shape, o) for f, o, _ in rows])
    change = jnp.concatenate([jnp.broadcast_to(x[None], (f.size, x.size)) for f, _, x in rows])
    return State(s.weights.at[features, options].add(scale * change))


class Run(Arrays):
    """One learner in one world, between two steps."""

    state: State
    env: EnvState
    features: Int[Array, "*S K"]
    option: Int[Array, "*S"]
    action: Int[Array, "*S"]
    entered: Float[Array, "*S"]
    memory: Memory
    clock: Int[Array, "*S"]
    episode: Int[Array, "*S"]
    log: Float[Array, "*S N M"]


def start(c: Config, task: Task, penalty: Penalty, windows: int, key: PRNGKey) -> Run:
    """A fresh learner at the start of its first episode."""
    assert isinstance(task.env.space.action, Discrete)
    init_key, reset_key, act_key = jax.random.split(key, 3)
    s = init(c, init_key, task.features, task.env.space.action.num)
    env_state, obs = task.env.reset(reset_key)
    features, nought = task.features.of(obs), jnp.int32(0)
    option, action, entered, _ = act(c, s.read(features), nought, jnp.bool_(True), act_key)
    probs = action_probs(c, s.read(features).preference[option])
    memory = penalty.init(Visit(features, option, action, probs, jnp.float32(0), jnp.bool_(True)))
    log = jnp.zeros((windows, len(METRICS)))
    return Run(s, env_state, features, option, action, entered, memory, nought, nought, log)


def advance(c: Config, task: Task, penalty: Penalty, episodes: int, run: Run, key: PRNGKey) -> Run:
    """One step: move, choose what comes next, learn."""
    env_key, act_key = jax.random.split(key)
    live = (run.episode < episodes).astype(jnp.float32)
    env_state, out = auto_reset(task.env).step(env_key, run.env, run.action)
    over, features = out.terminated | out.truncated, task.features.of(out.obs)
    arrived, first = task.features.of(out.last_obs), run.clock == 0
    now, there, ahead = run.state.read_all(run.features, arrived, features)
    option, action, entered, ended = act(c, ahead, run.option, over, act_key)
    t = Transition(run.features, run.option, run.action, run.entered, out.reward, arrived, out.terminated, first)
    s, memory, cost = update(c, run.state, t, (now, there), penalty, run.memory, live)
    discounted = out.reward * c.discount ** run.clock.astype(jnp.float32)
    switched = (ended & ~over).astype(jnp.float32)
    seen = [discounted, jnp.float32(1), task.hazard(out.last_obs).astype(jnp.float32), switched, cost]
    window = jnp.minimum(run.episode * run.log.shape[0] // episodes, run.log.shape[0] - 1)
    log = run.log.at[window].add(live * jnp.stack(seen))
    episode = run.episode + (over & (run.episode < episodes)).astype(jnp.int32)
    return Run(s, env_state, features, option, action, entered, memory, jnp.where(over, 0, run.clock + 1), episode, log)


Make = Callable[[Any], tuple[Config, Penalty]]


def risk_neutral(c: Config) -> tuple[Config, Penalty]:
    """Plain option-critic."""
    return c, NONE


class Queue(Arrays):
    """Runs under way in lanes, and what the finished ones left; a lane that is free takes the next run."""

    lanes: Run
    number: Int[Array, " L"]
    """Of the run in each lane; beyond the last run the lane is idle."""
    tick: Int[Array, " L"]
    waiting: Int[Array, ""]
    """The next run to start."""
    weights: Float[Array, "S F W C"]
    log: Float[Array, "S N M"]


@partial(jax.jit, static_argnames=("task", "make", "episodes", "windows", "lanes"))
def train(
    task: Task, configs: Any, keys: Key[Array, " S"], *,
    episodes: int, windows: int = 20, make: Make = risk_neutral, lanes: int = 128,
) -> tuple[State, dict[str, Float[Array, "S N"]]]:  # fmt: skip
    """Many runs: leading axis S of `configs`' floats and of `keys`. Metrics are means per window of episodes.

    `make` turns what `configs` holds for one run into a Config and a Penalty. At most `lanes` runs are under way at a
    time, which is a matter of speed alone.

    Raises:
        UserError: fewer episodes than windows, or none.
    """
    if not 1 <= windows <= episodes:
        raise UserError(f"windows = {windows}: must lie between 1 and episodes = {episodes}. It counts the points of a "
                        "learning curve.")  # fmt: skip
    num = keys.shape[0]

    def begun(number: Int[Array, " L"]) -> Run:
        """Fresh runs; idle lanes are past their last episode."""
        own = jnp.minimum(number, num - 1)
        fresh = jax.vmap(partial(_begun, task, make, windows))(jax.tree.map(lambda x: x[own], configs), keys[own])
        return eqx.tree_at(lambda run: run.episode, fresh, jnp.where(number < num, 0, episodes))

    def chunk(q: Queue) -> Queue:
        own = jnp.minimum(q.number, num - 1)
        chosen = jax.tree.map(lambda x: x[own], configs), keys[own]
        step = partial(jax.vmap(partial(_moved, task, make, episodes)), *chosen)
        (runs, tick), _ = jax.lax.scan(lambda carry, _: (step(*carry), None), (q.lanes, q.tick), length=CHUNK)
        return _refilled(q, runs, tick, runs.episode >= episodes, begun)

    number = jnp.arange(min(lanes, num), dtype=jnp.int32)
    first = begun(number)
    left = jnp.zeros((num, *first.state.weights.shape[1:])), jnp.zeros((num, *first.log.shape[1:]))
    q = Queue(first, number, 0 * number + 1, jnp.int32(number.size), *left)
    q = jax.lax.while_loop(lambda q: jnp.any(q.number < num), chunk, q)
    return State(q.weights), _summary(q.log, episodes, windows)


def _begun(task: Task, make: Make, windows: int, one: Any, key: PRNGKey) -> Run:
    c, penalty = make(one)
    return start(c, task, penalty, windows, jax.random.fold_in(key, 0))


def _moved(
    task: Task, make: Make, episodes: int, one: Any, key: PRNGKey, run: Run, tick: Int[Array, ""]
) -> tuple[Run, Int[Array, ""]]:
    c, penalty = make(one)
    return advance(c, task, penalty, episodes, run, jax.random.fold_in(key, tick)), tick + 1


def _refilled(
    q: Queue, runs: Run, tick: Int[Array, " L"], done: Bool[Array, " L"], begun: Callable[[Array], Run]
) -> Queue:
    """Put away what is done, and let the next runs begin in its place."""
    place = jnp.where(done, q.number, q.weights.shape[0])
    weights = q.weights.at[place].set(runs.state.weights, mode="drop")
    log = q.log.at[place].set(runs.log, mode="drop")
    number = jnp.where(done, q.waiting + jnp.cumsum(done, dtype=jnp.int32) - 1, q.number)

    def chosen(fresh: Array, old: Array) -> Array:
        return jnp.where(done.reshape(-1, *(1,) * (old.ndim - 1)), fresh, old)

    lanes = jax.tree.map(chosen, begun(number), runs)
    return Queue(lanes, number, jnp.where(done, 1, tick), q.waiting + jnp.sum(done, dtype=jnp.int32), weights, log)


def _summary(log: Float[Array, "S N M"], episodes: int, windows: int) -> dict[str, Float[Array, "S N"]]:
    """Means per episode, or per step where that is the unit."""
    ends = (jnp.arange(1, windows + 1) * episodes + windows - 1) // windows
    counts = jnp.diff(ends, prepend=0).astype(jnp.float32)[None]
    total, steps = dict(zip(METRICS, jnp.moveaxis(log, -1, 0), strict=True)), log[..., 1]
    return {name: x / (steps if name in ("switches", "cost") else counts) for name, x in total.items()}


def options(c: Config, s: State) -> Options:
    """What was learned in a finite world with one-hot features, for exact evaluation."""
    heads = s.heads
    return Options(action_probs(c, heads.preference), jax.nn.sigmoid(heads.ending), option_probs(c, heads.value))
