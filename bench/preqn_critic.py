"""Worker: steps of one learner's critics on one random batch, targets and slow copies included."""

import sys

import jax
from worker import serve

from theodolite.claims.an51 import preqn_cost

SHAPE, REPEATS = "256 256/256", 10

program = preqn_cost.steps(SHAPE)[sys.argv[1]]


def chunk() -> dict:
    now = program.start
    for _ in range(REPEATS):
        now = program.run(now)
    jax.block_until_ready(now)
    return {"steps": REPEATS * preqn_cost.STEPS}


serve(chunk, {"chunk": chunk})
