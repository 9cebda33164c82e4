"""Policies for what a plan demands where nothing is finite: fitted Q on rollouts.

    target   y = r + γ (1 - end) Q'(s', argmax_a Q(s', a)),   Q' ← Q' + τ (Q - Q')          (double Q-learning)
    loss     Huber(Q(s, a) - y),  rewards scaled by 1 - γ

Rewards are the agent's own, plus a bonus where a demanded place is reached, which ends it, or minus as much where a
forbidden one is met. Transitions come in rounds: first from the agent, then also from the policy that is being fitted;
both take random actions now and then, in every episode with other frequencies and another preference.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from theodolite.core.arrays import PRNGKey
from theodolite.core.env import Env
from theodolite.core.nets import MLP, mlp, orthogonal
from theodolite.core.optim import adam, apply

DISCOUNT, TAU, LEARNING_RATE, BATCH, WIDTH = 0.98, 0.01, 1e-3, 256, 64
ROUNDS, EPISODES, STEPS, SWEEPS = 5, 64, 200, 1_500
"""Of gathering; episodes and steps of each; steps of gradient descent after each."""
DEMAND = 3.0
"""What is demanded or forbidden counts this many times what can be paid at all."""
Acts = Callable[[Float[Array, "B O"]], Array]
Holds = Callable[[Float[Array, "B O"]], Bool[Array, " B"]]


class Critic(NamedTuple):
    """Q of every action from scaled observations."""

    middle: Float[Array, " O"]
    scale: Float[Array, " O"]
    net: MLP

    def __call__(self, obs: Float[Array, "B O"]) -> Float[Array, "B A"]:
        """At each observation."""
        return self.net(jnp.clip((obs - self.middle[None]) / self.scale[None], -5, 5))


class Transitions(NamedTuple):
    """What was lived through; `pick` is the index of the action. Arrays of NumPy until they are learned from."""

    obs: Any
    pick: Any
    reward: Any
    next_obs: Any
    terminated: Any


def fit(
    env: Env, own: Acts, table: Float[Array, "A *D"] | Int[Array, " A"], target: Holds, key: PRNGKey, *, reach: bool
) -> Acts:
    """The fitted policy: greedy among the actions of the table."""
    first_key, key = jax.random.split(key)
    size, num_actions = env.space.obs.shape[0], len(table)
    net = mlp(first_key, (size, WIDTH, WIDTH, num_actions), hidden=orthogonal(2**0.5), head=orthogonal(0.1))
    critic = Critic(jnp.zeros(size), jnp.ones(size), net)
    seen: list[Transitions] = []
    play, learn = jax.jit(partial(_gather, env, own, table)), jax.jit(_learn)
    for k, round_key in enumerate(jax.random.split(key, ROUNDS)):
        play_key, learn_key = jax.random.split(round_key)
        seen.append(_rows(play(critic, jnp.float32(0.7 * (k > 0)), play_key)))
        data = Transitions(*(np.concatenate(parts) for parts in zip(*seen, strict=True)))
        if k == 0:
            middle, spread = data.obs.mean(0), data.obs.std(0)
            critic = critic._replace(middle=jnp.asarray(middle), scale=jnp.asarray(spread + (spread < 1e-6)))
        critic = learn(critic, *_padded(_demanded(data, target, reach), ROUNDS * EPISODES * STEPS), learn_key)
    return lambda obs: table[jnp.argmax(critic(obs), axis=1)]


def closest(table: Array, action: Array) -> Int[Array, " B"]:
    """The action of the table that is closest to each action."""
    apart = action[:, None] - table[None].astype(action.dtype)
    return jnp.argmin(jnp.abs(apart).reshape(len(action), len(table), -1).sum(-1), axis=1)


def _gather(env: Env, own: Acts, table: Array, critic: Critic, mix: Array, key: PRNGKey) -> tuple:
    """Columns of transitions [T, B] and whether each was before the end; a share `mix` of the episodes is greedy."""
    reset_key, odd_key, taste_key, play_key = jax.random.split(key, 4)
    odd = jax.random.uniform(odd_key, (EPISODES,)) ** 2
    taste = 1.5 * jax.random.normal(taste_key, (EPISODES, len(table)))
    fitting = jnp.arange(EPISODES) < jnp.int32(mix * EPISODES)

    def one(carry: tuple, t: Array) -> tuple[tuple, tuple]:
        state, obs, alive = carry
        pick_key, env_key, when_key = jax.random.split(jax.random.fold_in(play_key, t), 3)
        best = jnp.argmax(critic(obs), axis=1)
        wanted = jnp.where(fitting, best, closest(table, own(obs)))
        strange = jax.random.uniform(when_key, (EPISODES,)) < odd
        pick = jnp.where(strange, jax.random.categorical(pick_key, taste), wanted)
        state, out = jax.vmap(env.step)(jax.random.split(env_key, EPISODES), state, table[pick])
        row = obs, pick, out.reward, out.last_obs, out.terminated, alive
        return (state, out.last_obs, alive & ~out.terminated & ~out.truncated), row

    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, EPISODES))
    return jax.lax.scan(one, (state, obs, jnp.ones(EPISODES, bool)), jnp.arange(STEPS))[1]


def _rows(columns: tuple) -> Transitions:
    flat = [np.asarray(x).reshape(-1, *x.shape[2:]) for x in columns]
    return Transitions(*(x[flat[-1]] for x in flat[:-1]))


def _demanded(data: Transitions, target: Holds, reach: bool) -> Transitions:
    """The same with the demand's bonus or penalty, which ends what it rewards; returns are about 1."""
    met = np.asarray(target(jnp.asarray(data.next_obs)))
    most = max(float(np.abs(data.reward).max()), 1e-6)
    bonus = DEMAND * most / (1 - DISCOUNT) * (1 if reach else -1)
    paid = (data.reward + bonus * met) * (1 - DISCOUNT) / most
    return data._replace(reward=paid.astype(np.float32), terminated=data.terminated | (met & reach))


def _padded(data: Transitions, size: int) -> tuple[Transitions, Array]:
    """Columns of one length for all rounds, so that learning compiles once, and how much of them is filled."""
    filled = [np.concatenate([x, np.zeros((size - len(x), *x.shape[1:]), x.dtype)]) for x in data]
    return Transitions(*map(jnp.asarray, filled)), jnp.int32(len(data.reward))


def _learn(critic: Critic, data: Transitions, filled: Array, key: PRNGKey) -> Critic:
    """Gradient steps on all that was seen so far."""
    optimiser = adam(LEARNING_RATE, max_norm=10.0)

    def loss(net: MLP, slow: MLP, rows: Transitions) -> Array:
        now, then = critic._replace(net=net), critic._replace(net=slow)
        best = jnp.argmax(jax.lax.stop_gradient(now(rows.next_obs)), axis=1)
        value = jnp.take_along_axis(then(rows.next_obs), best[:, None], axis=1)[:, 0]
        aim = jax.lax.stop_gradient(rows.reward + DISCOUNT * jnp.where(rows.terminated, 0, value))
        error = jnp.take_along_axis(now(rows.obs), rows.pick[:, None], axis=1)[:, 0] - aim
        return jnp.mean(optax.losses.huber_loss(error))

    def one(carry: tuple, step_key: PRNGKey) -> tuple[tuple, None]:
        net, slow, state = carry
        index = jax.random.randint(step_key, (BATCH,), 0, filled)
        gradient = jax.grad(loss)(net, slow, jax.tree.map(lambda x: x[index], data))
        net, state = apply(optimiser, gradient, state, net)
        slow = jax.tree.map(lambda s, f: s + TAU * (f - s), slow, net)
        return (net, slow, state), None

    first = critic.net, critic.net, optimiser.init(critic.net)
    return critic._replace(net=jax.lax.scan(one, first, jax.random.split(key, SWEEPS))[0][0])
