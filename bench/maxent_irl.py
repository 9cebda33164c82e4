"""Seconds of maximum-entropy IRL after compilation: 1,000 random 16-state MDPs solved as one batch, the gradients of
as many, and one gradient over thousands of states with listed successors.

python bench/maxent_irl.py [--mdps 1000] [--double]
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from harness import bar, finish

from theodolite.core import newton, soft_planning, tabular
from theodolite.core.soft_planning import SparseMDP
from theodolite.envs.tabular import random_mdp
from theodolite.intent import maxent_irl

STATES, ACTIONS, BAR = 16, 4, 5.0
SPARSE, WIDTH, SWEEPS = (4_096, 10_000), 3, 200
"""States and successors of the sparse worlds, and backups per gradient: 0.9^200 is 7e-10."""
REPEATS = 4


def problem(key):
    """A Garnet MDP, a reward of states, and the visits of its soft-optimal policy."""
    mdp_key, reward_key = jax.random.split(key)
    mdp = random_mdp(mdp_key, STATES, ACTIONS)
    reward = jax.random.normal(reward_key, (STATES,))
    policy = tabular.soft_policy(mdp, jnp.broadcast_to(reward[:, None], (STATES, ACTIONS)), 1.0)
    return mdp, reward, tabular.occupancy(mdp, policy)


def sparse_problem(states, key):
    """Successors drawn anywhere, another reward of pairs, and the visits of the soft-optimal policy of a third one."""
    keys = jax.random.split(key, 4)
    successor = jax.random.randint(keys[0], (states, ACTIONS, WIDTH), 0, states)
    chance = jax.random.dirichlet(keys[1], jnp.ones(WIDTH), (states, ACTIONS))
    every, start = jnp.ones((states, ACTIONS), bool), jnp.full(states, 1 / states)
    m = SparseMDP(successor, chance, every, start, jnp.asarray(0.9, chance.dtype))
    truth, reward = (jax.random.normal(k, (states, ACTIONS)) for k in keys[2:])
    return m, maxent_irl.exact_expert(m, soft_planning.plan(m, truth, sweeps=SWEEPS)), reward


def timed(make: Callable, run: Callable) -> tuple[list[tuple[float, float]], Any, Any]:
    """(wall, processor) seconds of every repeat on fresh problems, and the last problem with its result."""
    took = []
    for seed in range(REPEATS):
        posed = jax.block_until_ready(make(seed))
        start, cpu = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(run(*posed))
        took.append((time.perf_counter() - start, time.process_time() - cpu))
    return took, posed, found


def main() -> None:
    """Do all three several times, each time on fresh MDPs, and report what it took."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--mdps", type=int, default=1_000)
    flags.add_argument("--double", action="store_true")
    options = flags.parse_args()
    load = os.getloadavg()[0]
    jax.config.update("jax_enable_x64", options.double)
    batch = jax.jit(jax.vmap(problem))

    def posed(seed):
        return batch(jax.random.split(jax.random.key(seed), options.mdps))

    def slope(m, reward, visits):
        """The gradient at half the truth, where it is not 0."""
        return maxent_irl.reward_gradient(maxent_irl.Config(), m, maxent_irl.Expert(visits, m.initial), reward / 2)

    def both(m, reward, visits):
        return maxent_irl.solve_states(m, visits), slope(m, reward, visits).reward

    took, (_, rewards, _), (found, _) = timed(posed, jax.jit(jax.vmap(both)))
    solving, *_ = timed(posed, jax.jit(jax.vmap(lambda m, _, visits: maxent_irl.solve_states(m, visits))))
    error = jnp.abs(found.reward - rewards - jnp.mean(found.reward - rewards, axis=1, keepdims=True)).max()
    converged = float((found.code == newton.CONVERGED).mean())
    precision = "float64" if options.double else "float32"
    said = f"{int(found.steps.max())} Newton steps, {converged:.3f} converged, error {float(error):.2g}"
    rows: list[tuple] = [("what", "precision", "first s", "again s", "processor s", "found")]
    rows.append((f"{options.mdps:,} MDPs of {STATES} states: solved", precision, *best(solving), said))
    rows.append((f"{options.mdps:,} MDPs of {STATES} states: solved, and a gradient", precision, *best(took), said))
    times = {"solve": solving, "solve_and_gradient": took}
    for states in SPARSE:
        c = maxent_irl.Config(sweeps=SWEEPS)
        gradient = jax.jit(lambda m, expert, reward, c=c: maxent_irl.reward_gradient(c, m, expert, reward))
        make = jax.jit(partial(sparse_problem, states))
        each, _, g = timed(lambda seed, make=make: make(jax.random.key(seed)), gradient)
        mismatch = f"mismatch {float(g.metrics['mismatch']):.2g}"
        rows.append((f"one gradient over {states:,} sparse states", precision, *best(each), mismatch))
        times[f"sparse_{states}"] = each
    again = best(took)[1]
    says = (
        f"1,000 random MDPs of 16 states solved, with a gradient, in under {BAR:g} s after compilation: {again:.3f} s"
    )
    bars = [bar(says, options.mdps >= 1_000 and again < BAR and converged == 1)]
    what = "Maximum-entropy IRL of random MDPs as one batch, and over sparse states"
    finish("maxent_irl", {"what": what, "took_s": times, "bars": bars, "load_before": load}, rows)


def best(took: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Wall seconds of the first run, which compiles, and the least wall and processor seconds of the others."""
    return took[0][0], min(t for t, _ in took[1:]), min(c for _, c in took[1:])


if __name__ == "__main__":
    main()
