"""Worker: the steps as `visualize` takes them; the argument is the folder with task.npz."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from vision_squeezenet_task import CHANNEL, LAYER, RATE, SIZE, STEPS
from worker import serve

from theodolite.interpret.vision import models, objectives, optimize, parameterizations, transforms

FOLDER = Path(sys.argv[1])
network, made = models.load("squeezenet"), parameterizations.fourier(SIZE)
objective = objectives.channel(LAYER, CHANNEL)
score = optimize.score_of(network, objective, made)
config, key = optimize.Config(learning_rate=RATE, steps=STEPS, every=STEPS), jax.random.key(0)


def fixed_draw(params, waves, matrix, shift):
    """The objective of one picture under one draw of the standard transforms."""
    reach = max(transforms.STANDARD_SCALES) * (np.cos(np.pi / 18) + np.sin(np.pi / 18))
    seen = transforms.affine(made.apply(waves)[0], matrix, shift, (SIZE, SIZE), float(reach))[None]
    return objective(network.apply(params, seen), seen)


def prepared() -> dict:
    with np.load(FOLDER / "task.npz") as task:
        given = [jnp.asarray(task[name]) for name in ("waves", "matrix", "shift")]
    value, gradient = jax.jit(jax.value_and_grad(fixed_draw, argnums=1))(network.params, *given)
    np.savez(FOLDER / "ours.npz", objective=value, gradient=gradient)
    return segment()


def segment() -> dict:
    *_, last = optimize.ascend(config, score, made, network.params, key)
    return {"steps": STEPS, "reached": float(last.objective[-1])}


serve(prepared, {"steps": segment})
