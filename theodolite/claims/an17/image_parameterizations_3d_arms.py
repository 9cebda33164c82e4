"""Arms of techniques 5 and 6 of `image_parameterizations`: how a texture comes about, and how it is judged.

Learning rates are chosen for every arm alike: one run on a tuning seed at each of RATES, judged as the arm is judged.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from theodolite.claims.an17.image_parameterizations_runs import network as loaded
from theodolite.claims.an17.image_parameterizations_runs import packed
from theodolite.core.claim import Job, Row, Size, row
from theodolite.interpret.vision import images, objectives, optimize, parameterizations, texture
from theodolite.interpret.vision.mesh import Mesh
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.objectives import Objective
from theodolite.interpret.vision.parameterizations import Parameterization
from theodolite.interpret.vision.rasterise import Camera, Views, look, render, shading, turntable, views
from theodolite.interpret.vision.shapes import shape

THROUGH, PAINTED, ONE_VIEW, CPPN, PYRAMID = "through views", "painted", "one view", "solid CPPN", "solid pyramid"
TEXTURE_ARMS = (THROUGH, PAINTED, ONE_VIEW, CPPN, PYRAMID)
SINGLY = "each view alone"
DECAYS = {"no memory": 0.0, "memory 0.8": 0.8, "memory 0.95": 0.95, "memory 0.99": 0.99}
RATES = (0.003, 0.03, 0.1)
TUNING_SEED = 1_000
STYLE_LAYERS, CONTENT_LAYER = ("relu1", "fire2", "fire4", "fire6", "fire8"), "fire4"
CONTENT_WEIGHT = 15.0
"""At about 120 both gradients on the texture are equal at step 50 of a tuning seed; the clay then drowns the style."""
FAR, NEAR = (11.0, 13.0), (10.0, 12.0)
"""Distances of the camera for features and for style, as in the article."""
NEIGHBOURS = 20.0
"""Degrees between two views whose colours are compared."""
SIDE = 112
"""Of the pictures in the figure, in pixels."""
DETAIL = {"blob": 24, "teapot": 8}


class Budget(NamedTuple):
    """What a size buys."""

    seeds: int
    frame: int
    """Pixels of a view."""
    texels: int
    """Of the side of a texture: about one per pixel of a view."""
    steps: int
    shown: int
    """Views in the stack that the optimisation draws from."""
    held_out: int
    rates: tuple[float, ...]
    features: tuple[str, ...]
    """Cases: a shape and a channel."""
    styles: tuple[str, ...]
    """Cases: a shape and a photograph."""
    arms: tuple[str, ...]
    """Of 3D feature visualisation."""
    decays: tuple[str, ...]


FEATURES, STYLES = ("blob/fire8:200", "teapot/fire7:100"), ("teapot/hubble", "blob/coffee")
BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(1, 32, 32, 2, 2, 2, (0.03,), FEATURES[:1], STYLES[:1], (PAINTED, PYRAMID), ("memory 0.95",)),
    "quick": Budget(3, 96, 144, 160, 64, 64, RATES, FEATURES, STYLES, TEXTURE_ARMS, ("no memory", "memory 0.95")),
    "full": Budget(3, 192, 288, 400, 128, 64, RATES, FEATURES, STYLES, TEXTURE_ARMS, tuple(DECAYS)),
}


class Scene(NamedTuple):
    """A mesh and the views of it."""

    mesh: Mesh
    shown: Views
    held_out: Views


class Painted(NamedTuple):
    """A finished texture."""

    texture: np.ndarray
    measures: dict[str, float]


def scene(name: str, budget: Budget, distances: tuple[float, float]) -> Scene:
    """The views are the same for all arms and seeds; the seed orders them."""
    mesh = shape(name, detail=DETAIL[name])
    stacks = [views(mesh, n, budget.frame, jax.random.key(k), distances) for k, n in
              enumerate((budget.shown, budget.held_out))]  # fmt: skip
    return Scene(mesh, *stacks)


Run = Callable[[float, int], Painted]
"""(learning rate, seed) -> texture."""


def tuned(run: Run, quality: Callable[[Painted], float], rates: tuple[float, ...]) -> float:
    """The rate that does best on the tuning seed."""
    if len(rates) == 1:
        return rates[0]
    return max(rates, key=lambda rate: quality(run(rate, TUNING_SEED)))


def painter(budget: Budget, network: Network, drawn: Parameterization, score: Any, memory: Any = ()) -> Callable:
    """(learning rate, seed) -> image parameters' pictures; compiled once for all rates and seeds."""
    ascend = jax.jit(partial(optimize.steps, score=score, num=budget.steps))

    draw = jax.jit(drawn.apply)

    def run(rate: float, seed: int) -> np.ndarray:
        k_init, k_steps = jax.random.split(jax.random.key(seed))
        config = optimize.Config(learning_rate=rate)
        state = optimize.init(config, drawn.init(k_init), memory)
        state, _ = ascend(config, fixed=network.params, s=state, key=k_steps)
        return np.asarray(draw(state.params))

    return run


def feature_run(arm: str, where: Scene, objective: Objective, budget: Budget, network: Network) -> Run:
    """One arm of 3D feature visualisation."""
    flat = parameterizations.fourier(budget.texels)
    first = Views(where.shown.uv[:1], where.shown.mask[:1])
    drawn, transform = {
        THROUGH: (lambda: flat, texture.through(where.shown)),
        PAINTED: (lambda: flat, None),
        ONE_VIEW: (lambda: flat, texture.through(first)),
        CPPN: (lambda: texture.solid(where.mesh, budget.texels // 2), texture.through(where.shown)),
        PYRAMID: (lambda: texture.solid_pyramid(where.mesh, budget.texels), texture.through(where.shown)),
    }[arm]
    drawn = drawn()
    paint = painter(budget, network, drawn, optimize.score_of(network, objective, drawn, transform))
    apart = pixel(budget)

    def run(rate: float, seed: int) -> Painted:
        found = paint(rate, seed)[0]
        seen = texture.over_views(network, objective, found, where.held_out)
        return Painted(found, {"activation": seen, "seam_ratio": texture.seam_ratio(where.mesh, found, apart)})

    return run


def pixel(budget: Budget) -> float:
    """The width of a pixel of a view on the mesh, at the middle distance of 12 and a field of view of 10 degrees."""
    return 2 * 12 * float(np.tan(np.deg2rad(5))) / budget.frame


def features(case: str, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """Every arm of one case; activations are also given in units of the painted baseline's of the same seed."""
    name, channel = case.split("/")
    network, where = loaded("squeezenet"), scene(name, budget, FAR)
    layer, index = channel.split(":")
    objective = objectives.channel(layer, int(index))
    done: dict[tuple[str, int], Painted] = {}
    for arm in budget.arms:
        run = feature_run(arm, where, objective, budget, network)
        rate = tuned(run, lambda p: p.measures["activation"], budget.rates)
        done |= {(arm, seed): run(rate, seed) for seed in seeds}
    rows = []
    for (arm, seed), made in done.items():
        base = max(done[PAINTED, seed].measures["activation"], 1e-6)
        ratio = made.measures["activation"] / base
        kept = seed == seeds[0] and case == budget.features[-1]
        shown = {"strip": packed(strip(where.mesh, made.texture))} if kept else None
        rows.append(row(arm, case, seed, shown, activation_ratio=ratio, **made.measures))
    return rows


def strip(mesh: Mesh, painted: np.ndarray, count: int = 4) -> np.ndarray:
    """The mesh from four sides under a soft lamp, on white, drawn at twice the size and averaged."""
    size, cameras = SIDE, turntable(count, 25.0, 12.5)
    seen, light = look(mesh, cameras, 2 * size), shading(mesh, cameras, 2 * size)
    frames = np.asarray(render(jnp.asarray(painted), seen.uv, seen.mask, 1.0)) * light[..., None]
    small = frames.reshape(count, size, 2, size, 2, 3).mean((2, 4))
    return np.concatenate(list(small), 1)


def style_run(decay: float, where: Scene, goal: "Goal", budget: Budget, network: Network) -> Run:
    """One arm of 3D style transfer."""
    drawn = parameterizations.fourier(budget.texels)
    style = texture.Style(goal.targets, CONTENT_LAYER, CONTENT_WEIGHT, decay)
    score = texture.style_score(network, style, drawn, goal.original, where.shown)
    paint = painter(budget, network, drawn, score, texture.begin(style))

    def run(rate: float, seed: int) -> Painted:
        found = paint(rate, seed)[0]
        seen = texture.grams_over_views(network, STYLE_LAYERS, found, where.held_out)
        pair = np.asarray(render(jnp.asarray(found), goal.neighbours.uv, goal.neighbours.mask))
        return Painted(found, {
            "pooled_style": texture.pooled_style(seen, goal.targets),
            "between_views": texture.between_views(seen, goal.targets),
            "disagreement": texture.disagreement(goal.match, *pair),
        })  # fmt: skip

    return run


class Goal(NamedTuple):
    """What all arms of a case of style transfer share."""

    targets: dict[str, Array]
    original: np.ndarray
    neighbours: Views
    match: texture.Match


def goal_of(photo: str, where: Scene, budget: Budget, network: Network) -> Goal:
    """The style's Gram matrices, the mesh's own paint, and two neighbouring views."""
    picture = images.square(images.read(photo), 2 * budget.frame)
    one, other = pair = neighbours()
    return Goal(
        texture.style_targets(network, jnp.asarray(picture), STYLE_LAYERS),
        texture.clay(where.mesh, budget.texels),
        look(where.mesh, pair, budget.frame),
        texture.matches(where.mesh, one, other, budget.frame),
    )


def neighbours() -> list[Camera]:
    """Two cameras some degrees apart."""
    return turntable(round(360 / NEIGHBOURS), 20.0, 11.0)[:2]


def singly_run(where: Scene, goal: Goal, budget: Budget, network: Network) -> Run:
    """Style transfer of two neighbouring frames in the plane, each for itself."""
    drawn = parameterizations.fourier(budget.frame, batch=2)
    style = objectives.total([objectives.style_of({n: g}) for n, g in goal.targets.items()])
    frames = jnp.asarray(render(jnp.asarray(goal.original), goal.neighbours.uv, goal.neighbours.mask))
    mask = jnp.asarray(goal.neighbours.mask)[..., None]

    def score(fixed: Any, params: Any, key: Array, memory: Any) -> tuple[Array, Any]:
        pictures = drawn.apply(params) * mask
        seen, goals = network.apply(fixed, pictures), network.apply(fixed, frames)
        apart = jnp.abs(seen[CONTENT_LAYER] - jax.lax.stop_gradient(goals[CONTENT_LAYER])).mean()
        return style(seen, pictures) - CONTENT_WEIGHT * apart, memory

    paint = painter(budget, network, drawn, score)

    def run(rate: float, seed: int) -> Painted:
        pair = paint(rate, seed) * np.asarray(mask)
        seen = network.apply(network.params, jnp.asarray(pair))
        found = {n: np.asarray(objectives.grams(seen[n])) for n in STYLE_LAYERS}
        own = {"own_style": texture.pooled_style(found, goal.targets)}
        return Painted(np.concatenate(list(pair), 1), own | {"disagreement": texture.disagreement(goal.match, *pair)})

    return run


def styles(case: str, seeds: tuple[int, ...], budget: Budget) -> list[Row]:
    """Every arm of one case of style transfer."""
    name, photo = case.split("/")
    network, where = loaded("squeezenet"), scene(name, budget, NEAR)
    goal = goal_of(photo, where, budget, network)
    rows = []
    for arm in (*budget.decays, SINGLY):
        alone = arm == SINGLY
        run = (singly_run(where, goal, budget, network) if alone else
               style_run(DECAYS[arm], where, goal, budget, network))  # fmt: skip
        worse = "own_style" if alone else "pooled_style"
        rate = tuned(run, lambda p, worse=worse: -p.measures[worse], budget.rates)
        for seed in seeds:
            made = run(rate, seed)
            drawn = made.texture if alone else strip(where.mesh, made.texture)
            shown = {"strip": packed(drawn)} if seed == seeds[0] and case == budget.styles[-1] else None
            rows.append(row(arm, case, seed, shown, **made.measures))
    return rows


def feature_jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per shape and channel."""
    budget = BUDGETS[size]
    who = tuple(range(seeds or budget.seeds))
    return [Job("textures", c, who, partial(features, c, who, budget), cost=40) for c in budget.features]


def style_jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per shape and style."""
    budget = BUDGETS[size]
    who = tuple(range(seeds or budget.seeds))
    return [Job("styles", c, who, partial(styles, c, who, budget), cost=25) for c in budget.styles]
