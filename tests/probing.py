"""What an agent has understood of each probe environment, as one number per seed: 0 is everything."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.core.train import train
from theodolite.envs.registry import make

PROBES = ["ConstantValue", "ValueFromObservation", "Discounting", "ChoiceOfAction", "ActionGivenObservation"]


def shortfall(
    probe: str, make_agent: Callable, config, value: Callable, *, updates: int, seeds: int = 5, num_envs: int = 8
) -> np.ndarray:
    """Largest error of the values, or largest probability of the wrong action, after training; one per seed."""
    envs = make(f"Probe-{probe}-v0", num_envs=num_envs)
    for chunk in train(make_agent, config, envs, updates=updates, every=updates, seeds=seeds):
        state = chunk.carry.agent
    agent, obs = make_agent(config), jnp.array([[-1.0], [0.0], [1.0]])
    values = np.asarray(jax.vmap(lambda s: value(s, obs))(state))
    low, zero, high = values.T
    right = np.exp(jax.vmap(lambda s: agent.log_prob(s, obs, jnp.array([0, 1, 1])))(state))
    return {
        "ConstantValue": np.abs(zero - 1),
        "ValueFromObservation": np.maximum(np.abs(low + 1), np.abs(high - 1)),
        "Discounting": np.maximum(np.abs(zero - config.discount), np.abs(high - 1)),
        "ChoiceOfAction": 1 - right[:, 1],
        "ActionGivenObservation": 1 - np.minimum(right[:, 0], right[:, 2]),
    }[probe]
