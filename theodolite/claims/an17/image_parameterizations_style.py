"""Arms of technique 2 of `image_parameterizations`: style transfer by four networks in four bases.

Content and style come from packages; each seed has a pair of its own. The weight of the content makes both pull equally
after half of a trial in the decorrelated basis, per network, and is the same for all arms. The judge is a network that
did not make the picture.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17.image_parameterizations_runs import RATES, SIZES, TUNING_SEED, drawn, network, packed, tuned
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.errors import UserError
from theodolite.interpret.vision import images, measures, objectives, style_transfer, transforms
from theodolite.interpret.vision import parameterizations as kinds
from theodolite.interpret.vision.optimize import Config, many

OTHERS, CONTROL = ("squeezenet", "efficientnet_lite0", "alexnet"), "vgg16"
NETWORKS = (*OTHERS, CONTROL)
IN_EXTRA = ("squeezenet", "efficientnet_lite0")
"""The weights of the other two come in an archive that is downloaded by hand; without it they have no scores."""
PIXELS, WAVES, COLOURS, BOTH = "pixels", "fourier", "colours", "fourier + colours"
STILL = {PIXELS: "pixels, no transforms", BOTH: "fourier + colours, no transforms"}
CONTENTS, STYLES = ("chelsea", "astronaut", "coffee"), ("hubble", "retina", "motorcycle")
TRIAL = ("rocket", "gravel")
"""The pair of the tuning seed."""
JUDGE = {"efficientnet_lite0": "squeezenet"}
"""Of the others it is EfficientNet-Lite0."""


def bases(pixels: int) -> dict[str, kinds.Parameterization]:
    """The factorial of basis and colours."""
    return {
        BOTH: kinds.fourier(pixels), PIXELS: kinds.pixels(pixels), WAVES: kinds.fourier(pixels, decorrelate=False),
        COLOURS: kinds.pixels(pixels, decorrelate=True),
    }  # fmt: skip


def pair(seed: int, pixels: int) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Content and style of a seed; the style is half as large again, so that its parts differ."""
    if seed == TUNING_SEED:
        names = TRIAL
    else:
        names = CONTENTS[seed % len(CONTENTS)], STYLES[(seed + seed // len(CONTENTS)) % len(STYLES)]
    content, style = (images.read(name, as_rgb=True) for name in names)
    return jnp.asarray(images.square(content, pixels)), jnp.asarray(images.square(style, pixels * 3 // 2))


def content_weight(name: str, pixels: int, steps: int) -> float:
    """What makes content and style pull equally half way through a trial in the decorrelated basis."""
    net, made = network(name), kinds.fourier(pixels)
    score, key = style_transfer.score(net, made, transforms.standard()), jax.random.key(TUNING_SEED)
    weigh = jax.jit(partial(style_transfer.balance, score))
    photographs = pair(TUNING_SEED, pixels)
    first = weigh((net.params, (*photographs, jnp.float32(1))), made.init(key), key)
    own = jax.tree.map(lambda x: jnp.stack([x] * len(RATES)), (*photographs, first))
    keys = jnp.stack([key] * len(RATES))
    params, _ = many(Config(steps=steps), score, made, net.params, own, jnp.full(len(RATES), 0.05), keys)
    return float(weigh((net.params, (*photographs, first)), jax.tree.map(lambda x: x[0], params), key))


def judged(maker: str, picture: np.ndarray, style: Any) -> float:
    """The distance of Gram matrices that another network finds between a picture and the middle of the style."""
    judge = network(JUDGE.get(maker, "efficientnet_lite0"))
    layers = style_transfer.layers_of(judge).style
    side, room = picture.shape[0], style.shape[0] - picture.shape[0]
    middle = np.asarray(style)[room // 2 : room // 2 + side, room // 2 : room // 2 + side]
    grams = _grams(judge.apply, layers, judge.params, jnp.stack([jnp.asarray(picture), jnp.asarray(middle)]))
    return float(sum(np.abs(g[0] - g[1]).mean() / np.abs(g[1]).mean() for g in map(np.asarray, grams)))


@partial(jax.jit, static_argnums=(0, 1))
def _grams(apply_: Any, layers: tuple[str, ...], params: Any, pictures: Any) -> list[Any]:
    seen = apply_(params, pictures)
    return [objectives.grams(seen[name]) for name in layers]


def transfers(name: str, size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """One network, every basis."""
    try:
        net = network(name)
    except UserError:
        if name in IN_EXTRA:
            raise
        return []
    n, rows, pictures = SIZES[size], [], {}
    weight = content_weight(name, n["pixels"], max(n["steps"] // 2, 1))
    every = bases(n["pixels"])
    arms = {a: (every[a], transforms.standard()) for a in (every if name == "squeezenet" else (BOTH, PIXELS))}
    if name == "squeezenet":
        arms |= {STILL[a]: (every[a], transforms.none()) for a in STILL}
    for arm, (made, change) in arms.items():
        score = style_transfer.score(net, made, change)
        runs = tuned(
            score, made, net.params, lambda t, s: (*pair(s, n["pixels"]), jnp.float32(weight)), 1, seeds,
            Config(steps=n["steps"]),
        )  # fmt: skip
        pictures[arm] = drawn(made, runs)[0, :, 0], runs
    for arm, (found, runs) in pictures.items():
        for i, seed in enumerate(seeds):
            style = pair(seed, n["pixels"])[1]
            high, against = (measures.high_frequency_share(p[i]) for p in (found, pictures[PIXELS][0]))
            score_, plain = (judged(name, p[i], style) for p in (found, pictures[PIXELS][0]))
            shown = {"picture": packed(found[i])} if i == 0 and arm in (BOTH, PIXELS) else None
            loss = -runs.values[0, i, -8:].mean()
            rows.append(row(arm, name, seed, shown, high_frequencies=high, reduction=against / high, judged=score_,
                            judged_share=score_ / plain, own_loss=loss, rate=runs.rate))  # fmt: skip
            if arm == BOTH:
                rows.append(row(name, "gain", seed, gain=np.log(plain / score_)))
    return rows


GRADIENT, DRAWS = "gradient at the start", {"smoke": 2, "quick": 64, "full": 256}


def checkerboards(name: str, size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """The mean gradient of the style's distance by the pixels of noise: what a network asks of every picture alike."""
    try:
        net = network(name)
    except UserError:
        if name in IN_EXTRA:
            raise
        return []
    side = SIZES[size]["pixels"]
    made = kinds.pixels(side)
    score = style_transfer.score(net, made, transforms.none())

    @jax.jit
    def asked(weights: Any, photographs: Any, key: Any) -> jax.Array:
        k_start, k_style = jax.random.split(key)
        fixed = weights, (*photographs, jnp.float32(0))
        return jax.grad(lambda p: score(fixed, p, k_style, ())[0])(made.init(k_start))

    rows = []
    for seed in seeds:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(12), seed), DRAWS[size])
        mean = np.mean([np.asarray(asked(net.params, pair(seed, side), key))[0] for key in keys], 0)
        rows.append(row(name, GRADIENT, seed, stride_excess=measures.stride_excess(mean)))
    return rows


SGD, SGD_WAVES, SGD_METRIC = "pixels", "fourier", "pixels, gradient preconditioned"
ADAM = " with Adam"
SGD_RATES = (1e-3, 1e-2, 1e-1)
"""Steps of plain descent as shares of what Adam would go: the first gradient's norm is divided out."""


def descents(size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """Bases and optimisers in SqueezeNet: is the basis a metric, and does the metric alone close the gap?"""
    n, net, rows, found = SIZES[size], network("squeezenet"), [], {}
    made = {
        SGD_WAVES: kinds.fourier(n["pixels"]), SGD_METRIC: kinds.preconditioned(n["pixels"]),
        SGD: kinds.pixels(n["pixels"]),
    }  # fmt: skip
    weight = jnp.float32(content_weight("squeezenet", n["pixels"], max(n["steps"] // 2, 1)))
    start = {}
    for kind in ("sgd", "adam"):
        for arm, basis in made.items():
            score = style_transfer.score(net, basis, transforms.standard())
            rates = RATES if kind == "adam" else tuple(r * scale_of(score, basis, net, weight, n) for r in SGD_RATES)
            if arm == SGD_METRIC:  # the same steps as in the Fourier basis, or nothing could be equal
                rates = (found[SGD_WAVES, kind][1],) * len(RATES)
            runs = tuned(
                score, basis, net.params, lambda t, s: (*pair(s, n["pixels"]), weight), 1, seeds,
                Config(steps=n["steps"], optimiser=kind), rates,
            )  # fmt: skip
            found[arm, kind] = drawn(basis, runs)[0, :, 0], runs.rate, -runs.values[0, :, -8:].mean(-1)
            start[arm] = np.asarray(basis.apply(basis.init(jax.random.key(0))))[0]
    for (arm, kind), (pictures, rate, loss) in found.items():
        waves, plain = found[SGD_WAVES, kind], found[SGD, kind]
        for i, seed in enumerate(seeds):
            gap = plain[2][i] - waves[2][i]
            moved = np.abs(waves[0][i] - start[SGD_WAVES]).mean()
            shown = {"picture": packed(pictures[i])} if i == 0 else None
            rows.append(row(arm + ADAM * (kind == "adam"), "descent", seed, shown,
                            difference=np.abs(pictures[i] - waves[0][i]).mean() / moved,
                            closed=(plain[2][i] - loss[i]) / gap,
                            high_frequencies=measures.high_frequency_share(pictures[i]),
                            own_loss=loss[i], rate=rate))  # fmt: skip
    return rows


def scale_of(score: Any, basis: kinds.Parameterization, net: Any, weight: Any, n: dict[str, int]) -> float:
    """√(parameters) / |first gradient|: a rate of 1 moves parameters by 1 on average at first."""
    key = jax.random.key(TUNING_SEED)
    fixed, params = (net.params, (*pair(TUNING_SEED, n["pixels"]), weight)), basis.init(key)
    gradient = jax.jit(jax.grad(lambda p: score(fixed, p, key, ())[0]))(params)
    return float(np.sqrt(gradient.size) / np.maximum(np.linalg.norm(np.asarray(gradient).ravel()), 1e-12))


def style_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The work."""
    who = tuple(range(seeds or SIZES[size]["seeds"]))
    costs = {"squeezenet": 40, "efficientnet_lite0": 50, "alexnet": 20, "vgg16": 120}
    names = NETWORKS if size != "smoke" else IN_EXTRA[:1]
    return [
        *(Job("style", name, who, partial(transfers, name, size, who), cost=costs[name]) for name in names),
        *(Job("mean gradient", name, who, partial(checkerboards, name, size, who), cost=costs[name] / 10)
          for name in names),
        Job("descent", "squeezenet", who, partial(descents, size, who), cost=30),
    ]  # fmt: skip
