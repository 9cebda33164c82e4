"""Worker: Theodolite's DQN on CartPole-v1 through the public `train`."""

import jax
from worker import serve

from theodolite.control import dqn
from theodolite.core.evaluate import episode_scores
from theodolite.core.train import train
from theodolite.envs.registry import make

NUM_ENVS, UPDATES, TESTS, SEEDS, STEPS = 10, 2_000, 100, 10, 500_000
SETTINGS = dqn.Config(
    train_every=10, learning_starts=10_000, replay=10_000, batch_size=128, learning_rate=2.5e-4, target_every=50,
    epsilon_steps=250_000, hidden=(120, 84), max_gradient_norm=1_000.0, n_step=1, double=False,
)  # fmt: skip

envs = make("CartPole-v1", num_envs=NUM_ENVS)
run = train(dqn.agent, SETTINGS, envs, updates=10**9, every=UPDATES)


def chunk() -> dict:
    jax.block_until_ready(next(run).held)
    return {"steps": UPDATES * NUM_ENVS}


def score() -> dict:
    """Mean return of the greedy policy after half a million steps, for every seed."""
    agent, tests = dqn.agent(SETTINGS), envs._replace(num_envs=TESTS)
    updates = STEPS // NUM_ENVS
    final = next(train(dqn.agent, SETTINGS, envs, updates=updates, every=updates, seed=7, seeds=SEEDS))
    play = jax.jit(lambda s, key: episode_scores(lambda obs, _: agent.mode(s, obs), tests, key)[0].mean())
    keys = jax.random.split(jax.random.key(1_000), SEEDS)
    states = [jax.tree.map(lambda x, i=i: x[i], final.carry.agent) for i in range(SEEDS)]
    return {"returns": [float(play(state, key)) for state, key in zip(states, keys, strict=True)]}


serve(chunk, {"chunk": chunk, "score": score})
