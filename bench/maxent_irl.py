"""Seconds to solve 1,000 random 16-state MDPs by maximum-entropy IRL as one batch, after compilation.

python bench/maxent_irl.py [--mdps 1000] [--double]
"""

import argparse
import os
import time

import jax
import jax.numpy as jnp
from harness import bar, finish

from theodolite.core import newton, tabular
from theodolite.envs.tabular import random_mdp
from theodolite.intent import maxent_irl

STATES, ACTIONS, BAR = 16, 4, 5.0


def problem(key):
    """A Garnet MDP, a reward of states, and the visits of its soft-optimal policy."""
    mdp_key, reward_key = jax.random.split(key)
    mdp = random_mdp(mdp_key, STATES, ACTIONS)
    reward = jax.random.normal(reward_key, (STATES,))
    policy = tabular.soft_policy(mdp, jnp.broadcast_to(reward[:, None], (STATES, ACTIONS)), 1.0)
    return mdp, reward, tabular.occupancy(mdp, policy)


def main() -> None:
    """Solve twice, the second time on fresh MDPs, and report what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--mdps", type=int, default=1_000)
    flags.add_argument("--double", action="store_true")
    options = flags.parse_args()
    load = os.getloadavg()[0]
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
    first, again, processor = took[0][0], min(t for t, _ in took[1:]), min(c for _, c in took[1:])
    converged = float((found.code == newton.CONVERGED).mean())
    error = float(errors.max())
    rows = [
        ("MDPs", "precision", "first s", "again s", "processor s", "Newton steps", "converged", "largest error"),
        (options.mdps, "float64" if options.double else "float32", first, again, processor, int(found.steps.max()),
         converged, error),
    ]  # fmt: skip
    says = f"1,000 random MDPs of 16 states in under {BAR:g} s after compilation: {again:.3f} s"
    bars = [bar(says, options.mdps >= 1_000 and again < BAR and converged == 1)]
    what = "Maximum-entropy IRL of random MDPs as one batch"
    finish("maxent_irl", {"what": what, "took_s": took, "bars": bars, "load_before": load}, rows)


if __name__ == "__main__":
    main()
