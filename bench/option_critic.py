"""Seconds that option-critic takes for 100 seeds of 1,000 episodes in the four rooms, after compilation.

python bench/option_critic.py [--seeds 100] [--episodes 1000] [--rounds 1]

The bar is 60 s on two cores.
"""

import argparse
import os
import time

import jax
import jax.numpy as jnp
from harness import bar, finish

from theodolite.core.env import time_limit
from theodolite.core.tiles import one_hot
from theodolite.envs import rooms
from theodolite.safety import option_critic as oc

BAR = 60.0


def main() -> None:
    """Train all seeds as one program and report what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--seeds", type=int, default=100)
    flags.add_argument("--episodes", type=int, default=1_000)
    flags.add_argument("--rounds", type=int, default=1)
    options = flags.parse_args()
    load = os.getloadavg()[0]
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
    rows = [
        ("seeds", "episodes", "s", "processor s", "env steps/s", "return of the last window"),
        (options.seeds, options.episodes, wall, processor, steps / wall, float(seen["return"][:, -1].mean())),
    ]
    says = f"100 seeds x 1,000 episodes of the four rooms within {BAR:g} s: {wall:.1f} s"
    bars = [bar(says, options.seeds >= 100 and options.episodes >= 1_000 and wall <= BAR)]
    what = "Option-critic in the four rooms, all seeds as one program"
    finish("option_critic", {"what": what, "took_s": took, "bars": bars, "load_before": load}, rows)


if __name__ == "__main__":
    main()
