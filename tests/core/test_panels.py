import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from theodolite.core import figures, panels
from theodolite.core.claim import row
from theodolite.core.panels import Panel
from theodolite.core.scores import Scores

LONG = "a statement that is much longer than a panel of a row of three is wide"


def made() -> Scores:
    return Scores(tuple(row(arm, case, seed, score=seed + level) for case, level in (("a", 0.0), ("b", 10.0))
                        for arm in ("one", "two") for seed in range(4)))  # fmt: skip


def drawn(axes, scores: Scores) -> None:
    for i, (arm, look) in enumerate(figures.looks(("one", "two")).items()):
        panels.marks(axes, [(i, panels.pooled(scores, "score", arm, ["a", "b"]))], look, arm)


@pytest.fixture(scope="module")
def page():
    """A row of three, and one of two whose head is common, laid out."""
    scores = made().judged({"claims": [{"id": "first", "verdict": "refuted"}, {"id": "second", "verdict": "partly"}]})
    three = [Panel("A question that takes more than a line?", drawn, {"first": LONG, "second": "short"}),
             Panel("Short?", drawn, {"not judged": LONG}), Panel("Last?", drawn)]  # fmt: skip
    figure = panels.page("All", [(3.0, three), (2.5, [Panel("Both?", drawn, flush=True), Panel("", drawn)])], scores)
    FigureCanvasAgg(figure).draw()
    return figure


def test_a_panel_says_its_question_and_every_verdict(page):
    first, second, *_ = page.axes
    assert first.get_title(loc="left").replace("\n", " ") == "A question that takes more than a line?"
    said = first.texts[0].get_text().replace("\n", " ")
    assert said == f"✗ REFUTED  {LONG} ◐ PARTLY  short"
    assert second.texts[0].get_text().replace("\n", " ") == LONG
    assert not page.axes[4].get_title(loc="left") and page.axes[4].get_legend() is None


def test_heads_stay_above_the_data_and_beside_each_other(page):
    for axes in page.axes[:4]:
        legend, verdicts = axes.get_legend().get_window_extent(), axes.texts[0]
        assert legend.y0 >= axes.bbox.y1 - 1
        assert axes._left_title.get_window_extent().y1 <= page.bbox.y1
        if verdicts.get_text():
            assert legend.y1 <= verdicts.get_window_extent().y0 + 1
    tops = [axes._left_title.get_window_extent().y1 for axes in page.axes[:3]]
    assert np.ptp(tops) < 2
    for left, right in zip(page.axes[:2], page.axes[1:3], strict=True):
        ends = [text.get_window_extent().x1 for text in (left._left_title, left.texts[0])]
        assert max(ends) < right._left_title.get_window_extent().x0
    assert page.axes[3]._left_title.get_window_extent().x0 < page.axes[3].bbox.x0 - 5


def test_what_is_pooled_is_a_mean_over_cases_with_its_interval():
    middle, low, high = panels.pooled(made(), "score", "one", ["a", "b"])
    assert middle == pytest.approx(6.5) and low < 6.5 < high
    assert panels.pooled(made(), "score", "one", ["c"]) is None
    broken = Scores((*made().rows, row("one", "c", 0, score=float("nan"))))
    assert panels.pooled(broken, "score", "one", ["a", "b", "c"]) == (middle, low, high)


def test_arms_are_drawn_apart_around_their_level():
    assert [panels.apart(i, 3, 0.2) for i in range(3)] == pytest.approx([-0.2, 0, 0.2])
    assert panels.apart(0, 1, 0.2) == 0
