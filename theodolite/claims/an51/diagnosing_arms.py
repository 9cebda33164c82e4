"""The runs behind the claims of diagnosing: one error source of fitted Q-iteration at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from theodolite.control import afm, fqi, fqi_projection, weightings
from theodolite.core import oracle
from theodolite.core.claim import Job, Row, Size, row
from theodolite.core.oracle import Oracle
from theodolite.envs import oracles

NETS: dict[str, tuple[int, ...] | None] = {
    "4 4": (4, 4), "16 16": (16, 16), "64 64": (64, 64), "256 256": (256, 256), "table": None,
}  # fmt: skip
WIDE = "64 64"
ALPHAS = (0.1, 0.5, 1.0)
STEPS = (5, 20, 80, 320)
"""Gradient steps per iteration; the two in the middle against the ends."""
STOPPED_AT = 80
NEW = {"on-policy": (32, 128, 512), "replay": (8, 32)}
"""New samples per iteration."""
KIND: dict[str, Any] = {"on-policy": "sampled", "replay": "replay"}
SCHEMES = ("uniform", "pi*", "pi", "random policy", "replay", "replay10", "prioritized")
ALL_SCHEMES = (*SCHEMES, "online", "adversarial", "afm of replay")
STOPS: dict[str, Any] = {"no stop": "never", "oracle": "oracle", "held out": "held_out"}
SAMPLERS: dict[str, weightings.Sampler] = {
    "uniform replay": weightings.UNIFORM, "prioritised replay": weightings.PRIORITIZED,
    "feature matching": afm.sampler(afm.Config()),
    "feature matching, parametric": afm.sampler(afm.Config(form="parametric")),
}  # fmt: skip
WEIGHTINGS = weightings.WEIGHTINGS | {
    "random policy": weightings.random, "afm of replay": afm.weighting(afm.Config(), weightings.replay),
}  # fmt: skip
STATES = {"cliffwalk": 26, "sparsegraph": 501, "grid16randomobs": 256, "grid16onehot": 256, "pendulum": 1024,
          "mountaincar": 1793, "grid64randomobs": 4096, "grid64onehot": 4096}  # fmt: skip
DENSE = ("grid16randomobs", "grid16onehot", "pendulum")
"""Domains that pay nearly everywhere."""
SMALL = 600
"""Most states that the widest network is fitted to: its steps cost ten times those of (64, 64)."""
QUICK_DOMAINS = ("cliffwalk", "sparsegraph", "grid16randomobs", "grid16onehot")


_runs = jax.jit(
    fqi.runs, static_argnames=("weigh", "sampler"),
    compiler_options={"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False},
)  # fmt: skip
"""More than a hundred programs of a few seconds each: less optimisation halves what it takes to compile them."""


@dataclass(frozen=True)
class Budget:
    """What a size of the experiment covers."""

    seeds: int
    iterations: int
    steps: int
    """Most gradient steps per iteration, where nothing else is said."""
    projection: int
    """Steps of the fit to Q*."""
    nets: tuple[str, ...]
    represented: tuple[str, ...]
    """Domains of the comparison of networks."""
    domains: tuple[str, ...]
    """Domains of weightings."""
    collected: tuple[str, ...]
    """Domains of samples and samplers: those whose reward a random policy meets, or all."""
    pair: tuple[str, ...]
    """Domains of gradient steps, stops and smoothing."""
    schemes: tuple[str, ...]
    gradient_steps: tuple[int, ...]
    sides: tuple[int, ...]
    """Of the grids whose size grows."""
    grown: tuple[str, ...]
    """Networks that meet them."""
    samplers: tuple[str, ...]


BUDGETS: dict[Size, Budget] = {
    "smoke": Budget(2, 3, 10, 20, ("4 4", "16 16"), ("cliffwalk",), ("cliffwalk",), ("cliffwalk",), ("cliffwalk",),
                    ("uniform", "pi*", "replay"), (5, 10, 15, 20), (4, 5), ("16 16",),
                    ("uniform replay", "prioritised replay", "feature matching")),
    "quick": Budget(10, 50, 50, 2_500, ("4 4", "16 16", "64 64", "table"), (*QUICK_DOMAINS, "pendulum"), QUICK_DOMAINS,
                    DENSE, DENSE[1:], SCHEMES, STEPS, (8, 16, 32), ("16 16", "64 64"), tuple(SAMPLERS)[:3]),
    "full": Budget(5, 100, 100, 5_000, tuple(NETS), tuple(oracles.DOMAINS), (*QUICK_DOMAINS, "pendulum"),
                   (*QUICK_DOMAINS, "pendulum"), DENSE, ALL_SCHEMES, STEPS, (8, 16, 32, 64), ("16 16", "64 64"),
                   tuple(SAMPLERS)),
}  # fmt: skip


def keys_of(seeds: tuple[int, ...]) -> jax.Array:
    """One key per seed, the same for every arm."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(1902), jnp.array(seeds))


def late(values: Any) -> np.ndarray:
    """Mean of the last third of the iterations, per seed."""
    table = np.asarray(values, float)
    return table[:, -max(1, table.shape[1] // 3) :].mean(1)


def ran(o: Oracle, c: fqi.Config, seeds: tuple[int, ...], **how: Any) -> dict[str, np.ndarray]:
    """Metrics of a run for every seed, as arrays [seeds, iterations]."""
    how = {"weigh": weightings.uniform, "sampler": weightings.UNIFORM} | how
    _, seen = _runs(o, c, keys_of(seeds), oracle.scale(o, c.temperature), **how)
    return {name: np.asarray(x) for name, x in seen.items()}


def rows_of(arm: str, case: str, seeds: tuple[int, ...], seen: dict[str, np.ndarray], **more: Any) -> list[Row]:
    """One row per seed: what all experiments look at. Losses are logarithms, since they span decades."""
    tail = {name: late(x) for name, x in seen.items()}
    logs = {name: np.log10(np.maximum(tail[name], 1e-12)) for name in ("loss", "validation", "same_validation")}
    return [
        row(arm, case, seed, late_return=tail["return"][i], error=tail["error"][i], entropy=tail["entropy"][i],
            shift=tail["shift"][i], diverged=seen["diverged"][i, -1], log_loss=logs["loss"][i],
            log_validation=logs["validation"][i], gap=logs["validation"][i] - logs["loss"][i],
            same_gap=logs["same_validation"][i] - logs["loss"][i], fit_steps=tail["steps"][i],
            overestimate=tail["overestimate"][i],
            **{name: values[i] for name, values in more.items()})
        for i, seed in enumerate(seeds)
    ]  # fmt: skip


def architecture(domain: str, net: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """Exact backups on all pairs, and what the network could represent at best."""
    o, c = oracles.domain(domain), fqi.Config(hidden=NETS[net], iterations=b.iterations, max_steps=b.steps)
    seen = ran(o, c, seeds)
    best = np.asarray(fqi_projection.projection_error(o, c, keys_of(seeds), steps=b.projection))
    return rows_of(net, domain, seeds, seen, projection=best, excess=late(seen["error"]) - best)


def weighted(domain: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """Every weighting, and how return goes with entropy and with shift over them, seed by seed."""
    o, rows = oracles.domain(domain), []
    c = fqi.Config(iterations=b.iterations, max_steps=b.steps, stop="never")
    for scheme in b.schemes:
        rows += rows_of(scheme, domain, seeds, ran(o, c, seeds, weigh=WEIGHTINGS[scheme]))
    of = {seed: [r["metrics"] for r in rows if r["seed"] == seed] for seed in seeds}
    for cause in ("entropy", "shift"):
        for seed, found in of.items():
            strength = correlation([m[cause] for m in found], [m["late_return"] for m in found])
            rows.append(row(cause, domain, seed, correlation=strength))
    return rows


def correlation(x: list[float], y: list[float]) -> float:
    """Pearson's; 0 where either does not vary."""
    if np.std(x) < 1e-9 or np.std(y) < 1e-9:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def smoothed(domain: str, net: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """Targets that move a share α of the way; more and shorter iterations, since slow targets need them."""
    o, rows = oracles.domain(domain), []
    make = partial(fqi.Config, hidden=NETS[net], iterations=2 * b.iterations, max_steps=max(10, b.steps // 5 * 2))
    for alpha in ALPHAS:
        rows += rows_of(f"α = {alpha:g}", f"{net}/{domain}", seeds, ran(o, make(smoothing=alpha), seeds))
    return rows


def sampled(domain: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """New samples per iteration, of the current policy alone or into a buffer."""
    o, rows = oracles.domain(domain), []
    for kind, numbers in NEW.items():
        for num in numbers:
            c = fqi.Config(data=KIND[kind], samples=num, iterations=b.iterations, max_steps=b.steps, stop="never")
            rows += rows_of(f"{kind} {num}", domain, seeds, ran(o, c, seeds))
    return rows


def stepped(domain: str, kind: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """Gradient steps per iteration, and stops that keep the best Q of a fit."""
    o, rows, returns = oracles.domain(domain), [], {}
    make = partial(fqi.Config, data=KIND[kind], samples=32, iterations=b.iterations)
    for steps in b.gradient_steps:
        seen = ran(o, make(max_steps=steps, stop="never"), seeds)
        returns[steps] = late(seen["return"])
        rows += rows_of(f"{steps} steps", f"{kind}/{domain}", seeds, seen)
    ends = (b.gradient_steps[0], b.gradient_steps[-1])
    middle = np.mean([returns[s] for s in b.gradient_steps[1:-1]], 0)
    for arm, values in {"few steps": returns[ends[0]], "in between": middle, "many steps": returns[ends[1]]}.items():
        rows += [row(arm, f"{kind}/{domain}", seed, late_return=v) for seed, v in zip(seeds, values, strict=True)]
    limit = STOPPED_AT if STOPPED_AT in b.gradient_steps else b.gradient_steps[-1]
    for arm, stop in STOPS.items():
        rows += rows_of(arm, f"{kind}/{domain}", seeds, ran(o, make(max_steps=limit, stop=stop), seeds))
    return rows


def grown(net: str, sides: tuple[int, ...], seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """The same network and samples on grids that grow: over-fitting, and what more gradient steps bring."""
    rows = []
    few, many = max(5, b.steps // 5), 2 * b.steps
    for side in sides:
        o, returns = oracles.grid(side, "onehot", horizon=3 * side + 2), []
        for steps in (few, many):
            c = fqi.Config(hidden=NETS[net], data="replay", iterations=b.iterations, max_steps=steps, stop="never")
            seen = ran(o, c, seeds)
            returns.append(late(seen["return"]))
        rows += rows_of(f"grid {side}", net, seeds, seen, more_steps=returns[1] - returns[0])
    return rows


def drawn(domain: str, sampler: str, seeds: tuple[int, ...], b: Budget) -> list[Row]:
    """Replay, by how its minibatches are drawn and weighted."""
    c = fqi.Config(data="replay", iterations=b.iterations, max_steps=b.steps, stop="never")
    return rows_of(sampler, domain, seeds, ran(oracles.domain(domain), c, seeds, sampler=SAMPLERS[sampler]))


def jobs(size: Size, seeds: int | None) -> list[Job]:
    """One job per experiment and domain, or network."""
    b = BUDGETS[size]
    who = tuple(range(seeds or b.seeds))
    found: list[Job] = []

    def add(arm: str, case: str, cost: float, work: Callable[..., list[Row]], *args: Any) -> None:
        found.append(Job(arm, case, who, partial(work, *args, who, b), cost=cost))

    for domain in b.represented:
        for net in (n for n in b.nets if n != "256 256" or STATES[domain] <= SMALL):
            width = (NETS[net] or (4,))[0]
            add(f"network {net}", domain, STATES[domain] / 256 * width, architecture, domain, net)
    for domain in b.domains:
        add("weightings", domain, 400 * STATES[domain] / 256, weighted, domain)
    for domain in b.collected:
        add("samples", domain, 150.0, sampled, domain)
        for sampler in b.samplers:
            add(f"sampler {sampler}", domain, 300.0 if "feature" in sampler else 60.0, drawn, domain, sampler)
    for domain in b.pair:
        for kind in KIND:
            add(f"steps {kind}", domain, 200.0, stepped, domain, kind)
        for net in ("4 4", b.nets[1] if size == "smoke" else WIDE):
            add(f"smoothing {net}", domain, 60.0, smoothed, domain, net)
    for net in b.grown:
        add(f"growing {net}", "grids", 300.0, grown, net, b.sides)
    return found
