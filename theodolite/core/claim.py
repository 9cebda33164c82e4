"""Claims: what a paper or the newsletter says, as arms, cases, seeds, a metric and a margin fixed before any run.

An item of the newsletter holds claims and the jobs that produce their scores. A job returns rows, one per seed:

    row("gail", "CartPole/4", seed=0, score=0.98)    an arm, a case written panel/level, a seed, metrics by name

An expectation is a quantity (an arm, or the difference of two) and the region where the claim puts it. Its interval
wholly inside: supported; wholly outside: refuted; across the edge: undecided. `theodolite.core.judge` decides.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, SupportsIndex

Size = Literal["smoke", "quick", "full"]
SIZES: tuple[Size, ...] = ("smoke", "quick", "full")
Source = Literal["paper", "newsletter"]
Scope = Literal["faithful", "scaled-down", "substitute", "toy"]
StatisticName = Literal["iqm", "mean", "min", "max"]
STATISTIC_WORDS: dict[str, str] = {
    "iqm": "interquartile mean", "mean": "mean", "min": "lowest seed", "max": "highest seed"
}  # fmt: skip
Row = dict[str, Any]
Number = float | int
PaperValues = Mapping[tuple[str, str], Number | str]
ALL_RUNS = "all runs"
"""An arm that no job makes: in every case the runs of all other arms of its claim."""


class Paper(NamedTuple):
    """A source."""

    title: str
    authors: str
    year: int
    arxiv: str = ""
    url: str = ""
    venue: str = ""

    @property
    def link(self) -> str:
        """Where to read it, empty if nowhere is known."""
        return self.url or (f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else "")


@dataclass(frozen=True)
class Expectation:
    """Where a claim puts a quantity: `arm`, or `arm - than`, between `low` and `high`."""

    says: str
    arm: str
    low: Number = -math.inf
    high: Number = math.inf
    than: str | None = None
    statistic: StatisticName | None = None
    """None: the claim's."""
    cases: tuple[str, ...] = ("*",)
    """Patterns: "CartPole/*" is every level of CartPole."""
    each: bool = False
    """Stands for one expectation per matching case."""
    lower_wins: bool = False
    """Direction of the probability of improvement."""
    premise: bool = False
    """What the claim presupposes: while it is not supported, nothing is decided by the others."""

    def on(self, case: str) -> "Expectation":
        """The same expectation for one case alone."""
        return replace(self, cases=(case,), each=False)


def better(arm: str, than: str, by: Number = 0.0, **options: Any) -> Expectation:
    """`arm` scores higher than `than` by at least `by` (a negative `by`: is at most that much worse)."""
    if by < 0:
        says = f"{arm} is at most {-by:g} below {than}"
    else:
        says = f"{arm} is better than {than}" + (f" by at least {by:g}" if by else "")
    return Expectation(says, arm, low=by or math.ulp(0.0), than=than, **options)  # equal is not better


def lower(arm: str, than: str, by: Number = 0.0, **options: Any) -> Expectation:
    """`arm` scores lower than `than` by at least `by`: for errors, costs and times."""
    says = f"{arm} is lower than {than}" + (f" by at least {by:g}" if by else "")
    return Expectation(says, arm, high=-by or -math.ulp(0.0), than=than, lower_wins=True, **options)


def at_least(arm: str, bar: Number, **options: Any) -> Expectation:
    """`arm` reaches `bar`."""
    return Expectation(f"{arm} is at least {bar:g}", arm, low=bar, **options)


def at_most(arm: str, bar: Number, **options: Any) -> Expectation:
    """`arm` stays at or under `bar`."""
    return Expectation(f"{arm} is at most {bar:g}", arm, high=bar, **options)


def close(arm: str, to: Number | str, tolerance: Number, **options: Any) -> Expectation:
    """`arm` lies within `tolerance` of a value, or of another arm."""
    if isinstance(to, str):
        says = f"{arm} is within {tolerance:g} of {to}"
        return Expectation(says, arm, low=-tolerance, high=tolerance, than=to, **options)
    return Expectation(f"{arm} is {to:g} ± {tolerance:g}", arm, low=to - tolerance, high=to + tolerance, **options)


def premise(expectation: Expectation) -> Expectation:
    """The expectation as what a claim presupposes."""
    return replace(expectation, says=f"premise: {expectation.says}", premise=True)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence that scores can support or refute."""

    id: str
    text: str
    metric: str
    arms: tuple[str, ...]
    expect: tuple[Expectation, ...]
    source: Source = "paper"
    scope: Scope = "faithful"
    where: str = ""
    """Table, figure or section of the source."""
    cases: tuple[str, ...] | None = None
    """None: every case that has scores."""
    statistic: StatisticName = "iqm"
    exact: bool = False
    """The metric is deterministic: one seed says all."""
    higher_is_better: bool = True
    unit: str = ""
    """What the metric is measured in, such as "share of the expert's return"."""
    level: str = ""
    """What the part of a case after the slash counts, such as "demonstrations": the axis label."""
    paper_values: PaperValues = field(default_factory=dict)
    """The source's numbers by (arm, case), shown beside ours."""

    def __post_init__(self) -> None:
        named = {e.arm for e in self.expect} | {e.than for e in self.expect if e.than}
        strangers = sorted(named - set(self.arms)) + sorted({a for a, _ in self.paper_values} - set(self.arms))
        if strangers or all(e.premise for e in self.expect):
            raise ValueError(
                f"claim {self.id}: " + (f"{strangers} are no arms of it" if strangers else "no expectation")
            )


@dataclass(frozen=True)
class Job:
    """A piece of work that makes rows, done by one process and kept whole or not at all."""

    arm: str
    case: str
    seeds: tuple[int, ...]
    run: Callable[[], Iterable[Row]]
    """A module-level function with plain arguments, `functools.partial(train_gail, levels=4, seeds=(0, 1, 2))`."""
    cost: Number = 1.0
    """Relative duration; the longest start first."""

    @property
    def name(self) -> str:
        """The arm, case and seeds, which tell the job apart from its siblings."""
        return f"{self.arm} · {self.case} · {_ranges(self.seeds)}"


def _ranges(seeds: tuple[int, ...]) -> str:
    consecutive = len(seeds) > 1 and seeds == tuple(range(seeds[0], seeds[0] + len(seeds)))
    return f"seeds {seeds[0]}-{seeds[-1]}" if consecutive else f"seed {', '.join(map(str, seeds))}"


def row(arm: str, case: str, seed: SupportsIndex, curves: Mapping[str, Any] | None = None, **metrics: Any) -> Row:
    """One seed's result. `curves` maps a name to its two axes, ([steps], [values]), for the figure."""
    plain: Row = {"arm": arm, "case": case, "seed": int(seed), "metrics": {k: _number(v) for k, v in metrics.items()}}
    if curves:
        plain["curves"] = {k: [[_number(v) for v in axis] for axis in axes] for k, axes in curves.items()}
    return plain


def _number(value: Any) -> float:
    """As a float; one of 32 bits keeps the nine digits that it has, not the seventeen of the double next to it."""
    short = str(getattr(value, "dtype", "")) == "float32"
    return float(f"{float(value):.9g}") if short else float(value)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One entry of an edition: what it is, what is claimed of it, and how to find out."""

    name: str
    edition: str
    module: str
    """`__name__` of the file that defines it as ITEM: worker processes import it from there."""
    title: str
    category: str
    papers: tuple[Paper, ...]
    claims: tuple[Claim, ...]
    jobs: Callable[[Size, int | None], list[Job]]
    """The work at a size; the second argument is the number of seeds that the user asked for, None for the default."""
    summary: str = ""
    equation: str = ""
    how_to: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Substitutions and differences from the paper, one sentence each."""
    figure: Callable[[Any], Any] | None = None
    """Draws the scores; None draws every claim in the common way."""
    leave: Callable[[Path, Size], None] | None = None
    """Writes what there is beside figure and report, such as a page to play with, into the folder of a run."""

    @property
    def path(self) -> str:
        """The name with its edition, such as an17/gail."""
        return f"{self.edition}/{self.name}"
