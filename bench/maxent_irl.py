"""Seconds to solve 1,000 random 16-state MDPs by maximum-entropy IRL as one batch, after compilation.

python bench/maxent_irl.py [--mdps 1000] [--double]
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp

from theodolite.core import newton, tabular
from theodolite.envs.tabular import random_mdp
from theodolite.intent import maxent_irl

STATES, ACTIONS = 16, 4


def problem(key):
    """A Garnet MDP, a reward of states, and the visits of its soft-optimal policy."""
    mdp_key, reward_key = jax.random.split(key)
    mdp = random_mdp(mdp_key, STATES, ACTIONS)
    reward = jax.random.normal(reward_key, (STATES,))
    policy = tabular.soft_policy(mdp, jnp.broadcast_to(reward[:, None], (STATES, ACTIONS)), 1.0)
    return mdp, reward, tabular.occupancy(mdp, policy)


def main() -> None:
    """Solve twice, the second time on fresh MDPs, and print what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--mdps", type=int, default=1_000)
    flags.add_argument("--double", action="store_true")
    options = flags.parse_args()
    jax.config.update("jax_enable_x64", options.double)
    solve = jax.jit(jax.vmap(maxent_irl.solve_states))
    make = jax.jit(jax.vmap(problem))
    took = []
    for seed in range(4):
        mdps, rewards, visits = jax.block_until_ready(make(jax.random.split(jax.random.key(seed), options.mdps)))
        start, cpu = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(solve(mdps, visits))
        took.append((time.perf_counter() - start, time.process_time() - cpu))
        errors = jnp.max(
            jnp.abs(found.reward - rewards - jnp.mean(found.reward - rewards, axis=1, keepdims=True)), axis=1
        )
    print(json.dumps({
        "mdps": options.mdps, "precision": "float64" if options.double else "float32",
        "first_s": round(took[0][0], 2), "best_s": round(min(t for t, _ in took[1:]), 3),
        "best_cpu_s": round(min(c for _, c in took[1:]), 3), "newton_steps": int(found.steps.max()),
        "converged": float((found.code == newton.CONVERGED).mean()), "median_error": float(jnp.median(errors)),
        "largest_error": float(errors.max()),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
