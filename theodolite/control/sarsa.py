"""Sarsa: the value of every action under the policy that acts, learned step by step on tables or tile codes.

    Q(s,a) += α (r + γ Q(s',a') - Q(s,a)),      π(a|s) ∝ exp(Q(s,a) / temperature)

Differences from the source: 1. the policy is Boltzmann, where the textbook has ε-greedy, as its peers in the four rooms
are; 2. episodes that a time limit cut bootstrap; 3. the step size is divided by the number of active features. All
runs of a sweep are one program, and a run that has had its episodes stands still.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from theodolite.core.arrays import Arrays, PRNGKey
from theodolite.core.claim import Paper
from theodolite.core.config import config, positive, probability, require
from theodolite.core.env import Discrete, Env, EnvState, auto_reset
from theodolite.core.tiles import Features

PAPER = Paper("On-line Q-learning using connectionist systems", "Rummery, Niranjan", 1994,
              venue="Technical report, University of Cambridge")  # fmt: skip
METRICS = {
    "steps": "steps per episode",
    "hazards": "steps per episode that arrive where the task says it is risky",
}
CHUNK = 1_000
"""Steps between two looks at whether all runs have had their episodes."""


@config
class Config:
    """Hyper-parameters; the defaults suit the four rooms."""

    rate: float = 0.2
    """α: step size."""
    discount: float = 0.99
    """γ, per step."""
    temperature: float = 0.1
    """Of the softmax over actions."""

    def __post_init__(self):
        require(self, rate=positive, discount=probability, temperature=positive)


class State(Arrays):
    """Weights of features; with one-hot features, the table."""

    weights: Float[Array, "*S F A"]


def init(c: Config, features: Features, num_actions: int) -> State:
    """Nothing known."""
    return State(jnp.zeros((features.num, num_actions)))


def values(s: State, features: Int[Array, " K"]) -> Float[Array, " A"]:
    """Q of every action: sums over the active features."""
    return s.weights[features].sum(0)


def act(c: Config, value: Float[Array, " A"], key: PRNGKey) -> Int[Array, ""]:
    """An action by its value."""
    cumulative = jnp.cumsum(policy(c, value))
    return jnp.sum(jax.random.uniform(key) >= cumulative[:-1], dtype=jnp.int32)


def policy(c: Config, value: Float[Array, "*F A"]) -> Float[Array, "*F A"]:
    """The probabilities of actions."""
    return jax.nn.softmax(value / c.temperature)


def update(
    c: Config, s: State, features: Int[Array, " K"], action: Array, reward: Array, following: Float[Array, ""]
) -> State:
    """Learn from one step; `following` is Q(s',a'), 0 where the episode ended."""
    error = reward + c.discount * following - values(s, features)[action]
    return State(s.weights.at[features, action].add(c.rate * error / features.size))


class Run(Arrays):
    """One learner in one world, between two steps."""

    state: State
    env: EnvState
    features: Int[Array, "*S K"]
    action: Int[Array, "*S"]
    episode: Int[Array, "*S"]
    log: Float[Array, "*S N M"]


Hazard = Callable[[Array], Bool[Array, ""]]


def start(c: Config, env: Env, features: Features, windows: int, key: PRNGKey) -> Run:
    """A fresh learner at the start of its first episode."""
    assert isinstance(env.space.action, Discrete)
    reset_key, act_key = jax.random.split(key)
    s, (env_state, obs) = init(c, features, env.space.action.num), env.reset(reset_key)
    active = features.of(obs)
    log = jnp.zeros((windows, len(METRICS)))
    return Run(s, env_state, active, act(c, values(s, active), act_key), jnp.int32(0), log)


def advance(c: Config, env: Env, features: Features, hazard: Hazard, episodes: int, run: Run, key: PRNGKey) -> Run:
    """One step: move, choose what comes next, learn."""
    env_key, act_key = jax.random.split(key)
    live = run.episode < episodes
    env_state, out = auto_reset(env).step(env_key, run.env, run.action)
    over, arrived, ahead = out.terminated | out.truncated, features.of(out.last_obs), features.of(out.obs)
    action = act(c, values(run.state, ahead), act_key)
    # of an episode that was cut, the action that would have come next is drawn from the same uniform number
    last = values(run.state, arrived)
    next_action = jnp.where(out.truncated, act(c, last, act_key), action)
    following = jnp.where(out.terminated, 0, last[next_action])
    learned = update(c, run.state, run.features, run.action, out.reward, following)
    s = jax.tree.map(lambda new, old: jnp.where(live, new, old), learned, run.state)
    windows = run.log.shape[0]
    window = jnp.minimum(run.episode * windows // episodes, windows - 1)
    seen = jnp.stack([jnp.float32(1), hazard(out.last_obs).astype(jnp.float32)])
    log = run.log.at[window].add(jnp.where(live, seen, 0))
    return Run(s, env_state, ahead, action, run.episode + (over & live).astype(jnp.int32), log)


@partial(jax.jit, static_argnames=("env", "features", "hazard", "episodes", "windows"))
def train(
    c: Config, env: Env, features: Features, hazard: Hazard, keys: Key[Array, " S"], *, episodes: int, windows: int = 20
) -> tuple[State, dict[str, Float[Array, "S N"]]]:
    """Many runs of one configuration, one per key. Metrics are means per window of episodes."""

    def step(run: Run, tick: Array, key: PRNGKey) -> Run:
        return advance(c, env, features, hazard, episodes, run, jax.random.fold_in(key, tick))

    def following(_: Array, carry: tuple[Run, Array]) -> tuple[Run, Array]:
        run, tick = carry
        return jax.vmap(step, (0, None, 0))(run, tick, keys), tick + 1

    def chunk(carry: tuple[Run, Array]) -> tuple[Run, Array]:
        return jax.lax.fori_loop(0, CHUNK, following, carry)

    first = jax.vmap(lambda key: start(c, env, features, windows, jax.random.fold_in(key, 0)))(keys)
    run, _ = jax.lax.while_loop(lambda x: (x[0].episode < episodes).any(), chunk, (first, jnp.int32(1)))
    ends = (jnp.arange(1, windows + 1) * episodes + windows - 1) // windows
    per = jnp.diff(ends, prepend=0).astype(jnp.float32)[None]
    return run.state, {name: run.log[..., i] / per for i, name in enumerate(METRICS)}
