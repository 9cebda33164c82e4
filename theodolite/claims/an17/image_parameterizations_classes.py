"""Classes of `image_parameterizations`: does another network recognise what one network's logit wants to see?

A class is visualised through SqueezeNet's logit, in two bases, with and without transforms, at the best of three
learning rates; EfficientNet-Lite0, which knows the same thousand classes, says what it sees.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17.image_parameterizations_runs import SIZES, drawn, network, tuned
from theodolite.core.claim import Claim, Job, Row, Size, at_least, better, row
from theodolite.interpret.vision import parameterizations as kinds
from theodolite.interpret.vision import transforms
from theodolite.interpret.vision.optimize import Config

MAKER, JUDGE = "squeezenet", "efficientnet_lite0"
NAMES = ("tiger", "zebra", "strawberry", "ladybug", "honeycomb", "goldfinch", "daisy", "tabby cat")
BARE, WAVES = "pixels, no transforms", "fourier + colours, no transforms"
MOVED, BOTH = "pixels", "fourier + colours"
ARMS = (BARE, MOVED, WAVES, BOTH)
BEST = 5


def logit_score(made: kinds.Parameterization, change: transforms.Transform) -> Any:
    """A class's logit; what differs is its number."""
    net = network(MAKER)

    def score(fixed: Any, params: Any, key: Any, memory: Any) -> Any:
        weights, index = fixed
        return net.apply(weights, change(key, made.apply(params)))["logits"][..., index].mean(), memory

    return score


def standing(pictures: np.ndarray, index: int) -> tuple[np.ndarray, np.ndarray]:
    """The judge's probability of the class for each picture, and whether the class is among its best five."""
    judge = network(JUDGE)
    logits = np.asarray(_judged(judge.apply, judge.params, jnp.asarray(pictures)))[:, 0, 0]
    above = (logits > logits[:, index : index + 1]).sum(1)
    return np.asarray(jax.nn.softmax(logits))[:, index], above < BEST


_judged = jax.jit(lambda apply_, params, x: apply_(params, x)["logits"], static_argnums=0)


def classes(size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """Every class in every arm."""
    n, net, rows = SIZES[size], network(MAKER), []
    names = NAMES[: 2 * n["targets"]]
    indices = [net.classes.index(name) for name in names]
    bases = {BARE: kinds.pixels, MOVED: kinds.pixels, WAVES: kinds.fourier, BOTH: kinds.fourier}
    for arm, basis in bases.items():
        made = basis(n["pixels"])
        change = transforms.standard() if arm in (MOVED, BOTH) else transforms.none()
        runs = tuned(
            logit_score(made, change), made, net.params, lambda t, s: indices[t], len(names), seeds,
            Config(steps=n["steps"]),
        )  # fmt: skip
        pictures = drawn(made, runs)[:, :, 0]
        for t, name in enumerate(names):
            probability, known = standing(pictures[t], indices[t])
            rows += [row(arm, name, seed, recognised=float(known[i]), probability=probability[i], rate=runs.rate)
                     for i, seed in enumerate(seeds)]  # fmt: skip
    return rows


def class_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The work."""
    who = tuple(range(seeds or SIZES[size]["seeds"]))
    return [] if size == "smoke" else [Job("classes", "logits", who, partial(classes, size, who), cost=40)]


CLASS_CLAIMS = (
    Claim(
        id="class-recognised",
        text="What a class's logit draws is recognised by another network, among its best five of a thousand, half of "
        "the time in the decorrelated Fourier basis with transforms, and at least 0.3 more often than in bare pixels.",
        metric="recognised",
        arms=ARMS,
        cases=NAMES,
        scope="substitute",
        statistic="mean",
        unit="share of pictures whose class is among the judge's best five",
        where="Feature Visualization, section 4",
        expect=(at_least(BOTH, 0.5), better(BOTH, than=BARE, by=0.3)),
    ),
)
