"""Seconds that option-critic takes for 100 seeds of 1,000 episodes in the four rooms, after compilation.

python bench/option_critic.py [--seeds 100] [--episodes 1000] [--rounds 1]

The bar is 60 s on two cores.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp

from theodolite.core.env import time_limit
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_critic as oc

BAR = 60.0


def main() -> None:
    """Train all seeds as one program and print what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--seeds", type=int, default=100)
    flags.add_argument("--episodes", type=int, default=1_000)
    flags.add_argument("--rounds", type=int, default=1)
    options = flags.parse_args()
    world = rooms.rooms("frozen")
    task = oc.Task(time_limit(rooms.env(world), 500), one_hot(104), lambda obs: world.noisy[obs])
    configs = jax.tree.map(lambda x: jnp.full(options.seeds, x, jnp.float32), oc.Config())
    train = oc.train.lower(
        task, configs, jax.random.split(jax.random.key(0), options.seeds), episodes=options.episodes
    ).compile()
    took = []
    for seed in range(options.rounds):
        start, cpu = time.perf_counter(), time.process_time()
        _, seen = jax.block_until_ready(train(configs, jax.random.split(jax.random.key(seed), options.seeds)))
        took.append((time.perf_counter() - start, time.process_time() - cpu))
    wall, processor = min(took)
    steps = float(seen["steps"].mean()) * options.episodes * options.seeds
    print(json.dumps({
        "seeds": options.seeds, "episodes": options.episodes, "wall_s": round(wall, 1), "cpu_s": round(processor, 1),
        "steps_per_s": round(steps / wall), "return": round(float(seen["return"][:, -1].mean()), 2),
        "met": wall <= BAR,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
