"""Arms of the exact claims of `gail`: the theorem on random MDPs, and what a psi costs when demonstrations are few."""

from functools import partial
from typing import Any

from theodolite.core.claim import Job, Row, Size, row
from theodolite.intent import psi_experiments as experiments

EXACT_CASE = "random MDPs"
NUM_MDPS: dict[Size, int] = {"smoke": 2, "quick": 20, "full": 100}
COUNTS: dict[Size, tuple[int, ...]] = {
    "smoke": (1, 4), "quick": (1, 2, 4, 8, 16, 32, 64, 128, 256), "full": (1, 2, 4, 8, 16, 32, 64, 128, 256)
}  # fmt: skip
NUM_TASKS: dict[Size, int] = {"smoke": 2, "quick": 50, "full": 100}


def exactness(num_mdps: int) -> list[Row]:
    """Occupancy matching against RL ∘ IRL on the same random MDPs, for every psi."""
    found: list[Any] = experiments.exactness_table(num_mdps=num_mdps)
    return [
        row(r["psi"], EXACT_CASE, r["mdp"], **{k: v for k, v in r.items() if k not in ("psi", "mdp")}) for r in found
    ]


def shrinking(seeds: tuple[int, ...], counts: tuple[int, ...]) -> list[Row]:
    """Imitation from sampled occupancies."""
    found: list[Any] = experiments.shrinking_demonstrations(seeds, counts)
    return [
        row(f"psi {r['psi']}", f"stochastic MDPs/{r['demonstrations']}", r["seed"], share_of_expert=share)
        for r, share in ((r, r["normalised_return"]) for r in found)
    ]


def tabular_jobs(size: Size, seeds: int | None) -> list[Job]:
    """The two tables, one job each."""
    mdps, tasks = tuple(range(seeds or NUM_MDPS[size])), tuple(range(seeds or NUM_TASKS[size]))
    return [
        Job("all psi", EXACT_CASE, mdps, partial(exactness, len(mdps)), cost=40),
        Job("all psi", "stochastic MDPs", tasks, partial(shrinking, tasks, COUNTS[size]), cost=40),
    ]
