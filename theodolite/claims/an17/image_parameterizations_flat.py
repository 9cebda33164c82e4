"""Arms of techniques 1, 3 and 4 of `image_parameterizations`: aligned frames, CPPNs, transparency."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.claims.an17.image_parameterizations_runs import SIZES, drawn, network, packed, tuned
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.optim import adam, apply
from theodolite.interpret.vision import measures, objectives, transforms
from theodolite.interpret.vision import parameterizations as kinds
from theodolite.interpret.vision.optimize import Config

FRAMES = 6
PAIRS = (("fire6", 12, 77), ("fire6", 200, 301), ("fire7", 40, 260), ("fire7", 121, 333))
ALIGNED, APART, PULLED = "shared", "independent", "shared + alignment"
ALIGNMENT_WEIGHT, ALIGNMENT_RATIO, ALIGNMENT_LAYERS = 0.1, 5.0, ("fire4", "fire5")
JUDGE, JUDGED_AT = "efficientnet_lite0", ("block2", "block4", "block7", "block10")
"""The network that did not make the pictures measures the distance of frames, as LPIPS does without its weights."""

TOY_STARTS, TOY_STEPS, TOY_STEP = 10_000, 4_000, 0.002


def toy(seeds: tuple[int, ...]) -> list[Row]:
    """The article's two variables with a shared part: share of runs whose ends agree, x = a + c s, y = b + c s."""
    rows = []
    for seed in seeds:
        start = np.random.default_rng(seed).normal(0, 0.5, (2, TOY_STARTS))
        for c in (0, 1, 2):
            x, y = start
            for _ in range(TOY_STEPS):
                dx, dy = 4 * x * (x * x - 1), 4 * y * (y * y - 1)
                x, y = (x - TOY_STEP * ((1 + c * c) * dx + c * c * dy), y - TOY_STEP * ((1 + c * c) * dy + c * c * dx))
            rows.append(row(f"c = {c}", "toy", seed, aligned=np.mean(np.sign(x) == np.sign(y))))
    return rows


def frames_score(layer: str, parameterization: kinds.Parameterization, aligned: bool) -> Any:
    """Each frame's mixture of channels; what differs is the mixture [frames, C]."""
    net, change = network("squeezenet"), transforms.standard()
    pull = [objectives.alignment(name, ALIGNMENT_RATIO) for name in ALIGNMENT_LAYERS]

    def score(fixed: Any, params: Any, key: Any, memory: Any) -> Any:
        weights, mixture = fixed
        seen = net.apply(weights, change(key, parameterization.apply(params)))
        value = (seen[layer].mean((1, 2)) * mixture).sum()
        if aligned:
            value += ALIGNMENT_WEIGHT * sum(p(seen, parameterization.apply(params)) for p in pull)
        return value, memory

    return score


def mixture(layer: str, one: int, other: int) -> jnp.ndarray:
    """How much of every channel each frame is to show."""
    weights = np.zeros((FRAMES, network("squeezenet").channels[layer]), np.float32)
    t = np.linspace(0, 1, FRAMES)
    weights[:, one], weights[:, other] = 1 - t, t
    return jnp.asarray(weights)


def neighbour_distance(frames: np.ndarray) -> float:
    """Mean distance of neighbouring frames in the judge's normalised activations."""
    judge = network(JUDGE)
    seen = _activations(judge.apply, judge.params, jnp.asarray(frames))
    found = 0.0
    for name in JUDGED_AT:
        unit = seen[name] / (np.linalg.norm(seen[name], axis=-1, keepdims=True) + 1e-10)
        found += float(((unit[1:] - unit[:-1]) ** 2).sum(-1).mean())
    return found


def _activations(apply_: Any, params: Any, pictures: Any) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in _applied(apply_, params, pictures).items() if k in JUDGED_AT}


_applied = jax.jit(lambda apply_, params, x: apply_(params, x), static_argnums=0)


def interpolations(layer: str, size: Size, seeds: tuple[int, ...], pictured: bool = True) -> list[Row]:
    """Frames between two channels, for the pairs of one layer; those of the first pair may be kept as pictures."""
    n, rows, found = SIZES[size], [], {}
    pairs = [p for p in PAIRS if p[0] == layer][: max(1, n["targets"] // 2)]
    for arm in (APART, ALIGNED, PULLED):
        made = kinds.fourier(n["pixels"], FRAMES) if arm == APART else kinds.shared(n["pixels"], FRAMES)
        runs = tuned(
            frames_score(layer, made, arm == PULLED), made, network("squeezenet").params,
            lambda t, s: mixture(*pairs[t]), len(pairs), seeds, Config(steps=n["steps"]),
        )  # fmt: skip
        found[arm] = drawn(made, runs), runs.rate
    for t, pair in enumerate(pairs):
        case = f"{pair[0]}, {pair[1]} to {pair[2]}"
        attained = {arm: [attains(pair, p) for p in pictures[t]] for arm, (pictures, _) in found.items()}
        apart = [neighbour_distance(p) for p in found[APART][0][t]]
        for arm, (pictures, rate) in found.items():
            for i, seed in enumerate(seeds):
                distance = neighbour_distance(pictures[t, i])
                frames = enumerate(pictures[t, i] if pictured and i == 0 and t == 0 else ())
                shown = {f"frame {k}": packed(frame) for k, frame in frames}
                rows.append(row(arm, case, seed, shown, distance=distance, distance_share=distance / apart[i],
                                objective_share=attained[arm][i] / attained[APART][i], rate=rate))  # fmt: skip
    return rows


def attains(pair: tuple[str, int, int], frames: np.ndarray) -> float:
    """The objective on the frames themselves, untransformed."""
    net = network("squeezenet")
    seen = np.asarray(_applied(net.apply, net.params, jnp.asarray(frames))[pair[0]])
    return float((seen.mean((1, 2)) * np.asarray(mixture(*pair))).sum())


CHANNELS = (("fire7", 12), ("fire7", 260), ("fire8", 88), ("fire8", 401))
FOURIER = "fourier"
CPPNS: dict[str, dict[str, Any]] = {
    "cppn 8x24": {}, "cppn 8x24, relu": {"activation": kinds.normalised_relu}, "cppn 2x24": {"depth": 2}
}  # fmt: skip
CPPN_RATES = (0.003, 0.01, 0.05)
"""Swept for every arm of this technique: a CPPN wants smaller steps than a spectrum."""


def channel_score(layer: str, parameterization: kinds.Parameterization, change: transforms.Transform) -> Any:
    """A channel's mean; what differs is its number."""
    net = network("squeezenet")

    def score(fixed: Any, params: Any, key: Any, memory: Any) -> Any:
        weights, index = fixed
        return net.apply(weights, change(key, parameterization.apply(params)))[layer][..., index].mean(), memory

    return score


def channel_mean(layer: str, index: int, picture: np.ndarray) -> float:
    """Of one picture as it is, and at least a millionth: shares of it are taken."""
    net = network("squeezenet")
    seen = np.asarray(_applied(net.apply, net.params, jnp.asarray(picture[None]))[layer])
    return max(float(seen[..., index].mean()), 1e-6)


def cppns(layer: str, size: Size, seeds: tuple[int, ...]) -> list[Row]:
    """Channels of a layer through coordinate networks and through the Fourier basis; then the bases' reach."""
    n, rows = SIZES[size], []
    targets = [c for c in CHANNELS if c[0] == layer][: max(1, n["targets"] // 2)]
    arms = {FOURIER: kinds.fourier(n["pixels"])} | {a: kinds.cppn(n["pixels"], **o) for a, o in CPPNS.items()}
    reached: dict[tuple[int, int], float] = {}
    for arm, made in arms.items():
        change = transforms.standard() if arm == FOURIER else transforms.none()
        runs = tuned(
            channel_score(layer, made, change), made, network("squeezenet").params, lambda t, s: targets[t][1],
            len(targets), seeds, Config(steps=n["steps"]), CPPN_RATES,
        )  # fmt: skip
        pictures = drawn(made, runs)[:, :, 0]
        for t, (_, index) in enumerate(targets):
            for i, seed in enumerate(seeds):
                picture, case = pictures[t, i], f"{layer}, {index}"
                activation = channel_mean(layer, index, picture)
                reached.setdefault((t, i), activation)
                found = {"activation": activation, "activation_share": activation / reached[t, i],
                         "slope": measures.spectral_slope(picture), "rate": runs.rate}  # fmt: skip
                if arm != FOURIER:
                    twice = kinds.cppn(2 * n["pixels"], **CPPNS[arm]).apply(runs.params[t][i])
                    pooled = np.asarray(twice)[0].reshape(n["pixels"], 2, n["pixels"], 2, 3).mean((1, 3))
                    found["resolution_error"] = np.sqrt(np.mean((pooled - picture) ** 2))
                shown = {"picture": packed(picture)} if i == 0 and t == len(targets) - 1 else None
                rows.append(row(arm, case, seed, shown, **found))
                if arm == FOURIER:
                    rows += expressed(layer, index, picture, activation, case, seed, n)
    return rows


def expressed(
    layer: str, index: int, picture: np.ndarray, activation: float, case: str, seed: int, n: dict[str, int]
) -> list[Row]:
    """The picture of the Fourier basis as each other family can draw it, and what is left of the activation."""
    logits = np.log(np.clip(picture, 1e-6, 1 - 1e-6)) - np.log(1 - np.clip(picture, 1e-6, 1 - 1e-6))
    plane = logits @ np.linalg.inv(kinds.DECORRELATE).T
    waves = np.fft.rfft2(np.moveaxis(plane, -1, 0)) / (kinds.scales(n["pixels"], n["pixels"], 1.0) / 4)
    fourier = kinds.fourier(n["pixels"]).apply(jnp.asarray(np.stack([waves.real, waves.imag])[:, None], jnp.float32))
    pyramid = (
        jnp.asarray(plane[None], jnp.float32),
        *(jnp.zeros((1, n["pixels"] >> k, n["pixels"] >> k, 3)) for k in (1, 2, 3)),
    )
    fitted = fit_cppn(picture, 4 * n["steps"])
    drawings = {"fourier": fourier, "laplacian": kinds.laplacian(n["pixels"]).apply(pyramid), "cppn": fitted}
    return [
        row(f"redrawn, {name}", case, seed, kept=channel_mean(layer, index, np.asarray(drawing)[0]) / activation)
        for name, drawing in drawings.items()
    ]


def fit_cppn(picture: np.ndarray, steps: int) -> jnp.ndarray:
    """The CPPN's nearest drawing by least squares."""
    made = kinds.cppn(picture.shape[0])
    return made.apply(_fit(jnp.asarray(picture), made.init(jax.random.key(0)), steps))


@partial(jax.jit, static_argnums=2)
def _fit(picture: Any, params: Any, steps: int) -> Any:
    made, optimiser = kinds.cppn(picture.shape[0]), adam(0.005)

    def step(carry: Any, _: Any) -> Any:
        theta, opt = carry
        return apply(
            optimiser, jax.grad(lambda p: jnp.square(made.apply(p)[0] - picture).mean())(theta), opt, theta
        ), None

    return jax.lax.scan(step, (params, optimiser.init(params)), length=steps)[0][0]


def flat_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The work of the three techniques; transparency stands in its own file."""
    who = tuple(range(seeds or SIZES[size]["seeds"]))
    layers = ("fire6", "fire7") if size != "smoke" else ("fire6",)
    deep = ("fire7", "fire8") if size != "smoke" else ("fire7",)
    return [
        Job("toy", "all", (0, 1, 2), partial(toy, (0, 1, 2)), cost=1),
        *(Job("frames", layer, who, partial(interpolations, layer, size, who, layer == layers[-1]), cost=40)
          for layer in layers),
        *(Job("cppn", layer, who, partial(cppns, layer, size, who), cost=40) for layer in deep),
    ]  # fmt: skip
