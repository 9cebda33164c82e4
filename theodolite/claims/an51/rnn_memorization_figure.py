"""The figure of rnn_memorization: how far back each cell looks, and what it does with it."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from theodolite.claims.an51.rnn_memorization_arms import BIASES, CELLS, CONTROL, LOSS, STEPS
from theodolite.claims.an51.rnn_memorization_looks import LETTERS
from theodolite.core.claim import Claim
from theodolite.core.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARMS = tuple(CELLS)


def figure(scores: Scores, claims: dict[str, Claim]) -> "Figure":
    """Reach; accuracy and share by letters read; training; deletions, repeats and the control text."""
    from theodolite.core.panels import stacked  # matplotlib loads slowly, and worker processes do without

    rows = [(2.2, _reach), (3.0, _letters), (2.7, _training), (2.3, _tests)]
    return stacked([(height, partial(draw, scores=scores, claims=claims)) for height, draw in rows])


def _title(part: Any, text: str) -> None:
    part.suptitle(text, x=0.01, ha="left", fontsize=10)


def _reach(part: Any, scores: Scores, claims: dict[str, Claim]) -> None:
    """Mean lag at matched steps, at matched loss, and by other ways to attribute."""
    from theodolite.core import figures

    _title(part, "How far back connectivity reaches, mean lag in characters (hollow: the article's sentence)")
    look = figures.looks(ARMS)
    panels = part.subplots(1, 3, sharey=True)
    for axes, (claim, case) in zip(panels, (("reach", STEPS), ("reach-at-matched-loss", LOSS)), strict=False):
        figures.rows_of_dots(axes, claims[claim], scores, [case], look)
        axes.set_title(case)
    panels[0].set_xlim(left=0)
    panels[1].set_xlim(left=0)
    _ways(panels[2], scores, look)


def _ways(axes: "Axes", scores: Scores, look: dict[str, Any]) -> None:
    """The mean lag of each arm by method, one mark per method."""
    marks = {
        "norm of logit": ("norm", "|"), "norm of log_prob": ("of log p", "1"), "norm of contrast": ("of lead", "2"),
        "input of logit": ("× input", "x"), "integrated of logit": ("integrated", "+"),
        "occlusion of logit": ("left out", "."),
    }  # fmt: skip
    for case, (name, mark) in marks.items():
        points = [(_mean(scores, "lag_by_method", arm, case), y) for y, arm in enumerate(ARMS)]
        for (x, y), arm in zip(points, ARMS, strict=True):
            axes.plot(x, y, mark, color=look[arm].colour, markersize=7)
        axes.plot([], [], mark, color="#5d6873", label=name)
    axes.set_title("by other measures")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, -0.62), ncols=3, frameon=False, fontsize=8, handlelength=0.8)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)


def _mean(scores: Scores, metric: str, arm: str, case: str) -> float:
    found = list(scores.by_seed(metric, arm, case).values())
    return float(np.mean(found)) if found else np.nan


def _letters(part: Any, scores: Scores, claims: dict[str, Claim]) -> None:
    """Accuracy, share before the word and lag, by letters read."""
    from theodolite.core import figures, panels

    look = figures.looks(ARMS)
    names = {"accuracy_by_letters": "accuracy on known words", "share_by_letters": "share before the word",
             "lag_by_letters": "mean lag, characters"}  # fmt: skip
    for axes, (metric, name) in zip(part.subplots(1, 3), names.items(), strict=True):
        for arm in ARMS:
            _line(axes, scores, metric, arm, look[arm])
        axes.set_title(name)
        axes.set_xlabel("letters of the word that were read")
        axes.set_xticks(LETTERS)
        axes.set_ylim(bottom=0)
    panels.named(part, look, ARMS, line="-", size=4, ncols=len(ARMS), handlelength=1.5, columnspacing=None)


def _line(axes: "Axes", scores: Scores, metric: str, arm: str, look: Any) -> None:
    from theodolite.core import stats

    columns = [np.array(list(scores.by_seed(metric, arm, f"letters read/{k}").values())) for k in LETTERS]
    if not all(len(c) for c in columns):
        return
    found = [stats.bootstrap([c], "mean", np.random.default_rng(0), draws=1_000) for c in columns]
    low, high = np.array([b.interval() for b in found]).T
    axes.fill_between(LETTERS, low, high, color=look.colour, alpha=0.14, linewidth=0)
    axes.plot(LETTERS, [b.estimate for b in found], look.marker + "-", color=look.colour, markersize=3.5, linewidth=1.4)


def _training(part: Any, scores: Scores, claims: dict[str, Claim]) -> None:
    """Validation loss over minibatches, and how long the plateau was."""
    from theodolite.core import figures

    left, right = part.subplots(1, 2, width_ratios=[1.5, 1])
    figures.curves(left, scores, "validation", ARMS, STEPS, statistic="mean")
    left.set_title("loss on validation articles, nats")
    left.set_xlabel("minibatches")
    figures.rows_of_dots(right, claims["plateau"], scores, [STEPS], figures.looks((*ARMS, *BIASES)))
    right.set_title("minibatches on the plateau")
    right.set_xlim(left=0)


def _tests(part: Any, scores: Scores, claims: dict[str, Claim]) -> None:
    """What deletions cost, what a repetition gains, and whether the key is found."""
    from theodolite.core import figures

    panels = part.subplots(1, 3, sharey=True)
    look = figures.looks(ARMS)
    titles = {"deletion": "most connected words left out:\nloss beyond twice that of random",
              "repeats": "a word again after one letter:\ngain in accuracy",
              "finds-the-key": "control text: connectivity\npeaks on the key"}  # fmt: skip
    for axes, (id, title) in zip(panels, titles.items(), strict=True):
        draw = partial(figures.rows_of_dots, axes, claims[id], scores, [CONTROL if id == "finds-the-key" else STEPS])
        draw(look)
        axes.set_title(title, fontsize=8.5)
