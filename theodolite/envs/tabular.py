"""Random finite MDPs, and any finite MDP as an environment with one-hot observations.

The random MDP is a Garnet (Archibald et al. 1995): every state-action pair leads to `branching` distinct successors
with probabilities uniform on the simplex; branching = 1 makes it deterministic. The initial distribution is uniform on
the simplex over all states, so every state has positive occupancy under every policy.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.env import Box, Discrete, Env, Space, Step
from theodolite.core.errors import UserError
from theodolite.core.tabular import MDP


def random_mdp(
    key: PRNGKey, num_states: int = 16, num_actions: int = 4, *, branching: int = 4, discount: Scalar = 0.9
) -> MDP:
    """A Garnet MDP; its dtype is JAX's default float."""
    if not 1 <= branching <= num_states:
        raise UserError(
            f"branching = {branching}: must lie between 1 and num_states = {num_states}. It counts the distinct "
            "successors of a state-action pair; choose fewer successors or more states."
        )
    successor_key, probability_key, initial_key = jax.random.split(key, 3)
    order = jnp.argsort(jax.random.uniform(successor_key, (num_states, num_actions, num_states)), axis=-1)
    weights = _distribution(probability_key, (num_states, num_actions, branching))
    # scattering by a sum of one-hot vectors: successors are distinct, so nothing is lost
    transition = jnp.einsum("sak,sakt->sat", weights, jax.nn.one_hot(order[..., :branching], num_states))
    return MDP(transition, _distribution(initial_key, (num_states,)), jnp.asarray(discount, weights.dtype))


def rewarded_loop(
    key: PRNGKey, num_states: int = 16, num_actions: int = 4, *, deterministic: bool = False, discount: Scalar = 0.9
) -> tuple[MDP, Float[Array, " S"]]:
    """A random MDP of Fu et al. 2018 with its reward: 1 in state 0, where one action stays; it starts in state 1.

    Transition weights are exp(uniform), int(0.8 S) of which, drawn with replacement, are zero for every pair; or there
    is one uniform successor per pair.
    """
    weight_key, zero_key, loop_key = jax.random.split(key, 3)
    shape = (num_states, num_actions, num_states)
    if deterministic:
        transition = jax.nn.one_hot(jax.random.randint(weight_key, shape[:2], 0, num_states), num_states)
    else:
        weights = jnp.exp(jax.random.uniform(weight_key, shape))
        zeros = jax.random.randint(zero_key, (*shape[:2], int(0.8 * num_states)), 0, num_states)
        weights = jnp.where(jax.nn.one_hot(zeros, num_states).sum(2) > 0, 0, weights)
        transition = weights / weights.sum(-1, keepdims=True)
    reward = jax.nn.one_hot(0, num_states)
    stays = jax.random.randint(loop_key, (), 0, num_actions)
    transition = transition.at[0, stays].set(reward.astype(transition.dtype))
    start = jax.nn.one_hot(1, num_states)
    return MDP(transition, start.astype(transition.dtype), jnp.asarray(discount, transition.dtype)), reward


def permute_actions(key: PRNGKey, mdp: MDP) -> MDP:
    """The same world with its actions named anew in every state: what a reward of actions cannot survive.

    Dynamics drawn afresh would keep state 0's action that stays where it was, and test nothing.
    """
    states, actions = mdp.transition.shape[:2]
    order = jax.vmap(lambda k: jax.random.permutation(k, actions))(jax.random.split(key, states))
    return MDP(jnp.take_along_axis(mdp.transition, order[..., None], axis=1), mdp.initial, mdp.discount)


def _distribution(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "*batch K"]:
    """Distributions over the last axis, uniform on the simplex: normalised exponentials."""
    weights = jax.random.exponential(key, shape)
    return weights / weights.sum(-1, keepdims=True)


def env(mdp: MDP, reward: Float[Array, "S A"]) -> Env:
    """The MDP as an environment that never ends; observations are one-hot states. Wrap it in `time_limit` for episodes.

    The discount is the agent's affair, as in every environment.
    """
    num_states, num_actions = reward.shape

    def one_hot(state: Int[Array, ""]) -> Array:
        return jax.nn.one_hot(state, num_states, dtype=jnp.float32)

    def reset(key: PRNGKey):
        state = jax.random.categorical(key, jnp.log(mdp.initial)).astype(jnp.int32)
        return state, one_hot(state)

    def step(key: PRNGKey, state: Int[Array, ""], action: Int[Array, ""]):
        following = jax.random.categorical(key, jnp.log(mdp.transition[state, action])).astype(jnp.int32)
        obs = one_hot(following)
        paid = reward[state, action].astype(jnp.float32)
        return following, Step(obs, paid, jnp.bool_(False), jnp.bool_(False), obs)

    return Env(reset, step, Space(Box((num_states,), 0.0, 1.0), Discrete(num_actions)))
