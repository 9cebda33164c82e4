import re
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from theodolite.core import figures, judge
from theodolite.core.claim import Claim, at_least, better, row
from theodolite.core.scores import Scores

ARMS = ("random", "expert", "clone", "adversarial")
CLAIM = Claim(
    id="an17/figure/a", text="A claim that is long enough to be wrapped " * 4, metric="score", arms=ARMS,
    expect=(at_least("adversarial", 0.9), better("adversarial", "clone")), unit="share", level="demonstrations",
    paper_values={("clone", "Pole/1"): 0.3, ("clone", "Pole/10"): "no number"},
)  # fmt: skip


def made(cases=("Pole/1", "Pole/10", "Car/1", "Car/10")) -> Scores:
    generator, steps = np.random.default_rng(0), np.linspace(0, 1e6, 20)
    return Scores(tuple(
        row(arm, case, seed, score=level + generator.normal() * 0.05, curves={"return": (steps, level * steps / 1e6)})
        for arm, level in zip(ARMS, (0.0, 1.0, 0.4, 0.95), strict=True) for case in cases for seed in range(4)
    ))  # fmt: skip


def test_equal_scores_give_equal_bytes_and_small_files(tmp_path):
    for name in ("a", "b"):
        figures.save(figures.of_claims([CLAIM], made()), tmp_path / name)
    for kind in ("svg", "png"):
        first = (tmp_path / f"a.{kind}").read_bytes()
        assert first == (tmp_path / f"b.{kind}").read_bytes()
        assert 5_000 < len(first) < 300_000
    assert b"dc:date" not in (tmp_path / "a.svg").read_bytes()


def test_what_is_drawn_is_what_was_judged():
    figure, scores = figures.of_claims([CLAIM], made()), made()
    panels = [a for part in figure.subfigures.flat for a in part.axes] if hasattr(figure.subfigures, "flat") else [
        a for part in figure.subfigs for a in part.axes]  # fmt: skip
    assert [p.get_title(loc="left") for p in panels] == ["Car", "Pole"]
    pole = panels[1]
    drawn = {round(float(y), 9) for line in pole.lines for y in np.atleast_1d(line.get_ydata())}
    for arm in ARMS:
        for case in ("Pole/1", "Pole/10"):
            middle, low, high = judge.estimate(CLAIM, scores, arm, case)
            assert round(middle, 9) in drawn
            bars = [s for c in pole.collections for s in c.get_segments()]
            assert any(np.allclose(s[:, 1], [low, high]) for s in bars)
    assert 0.3 in drawn  # the paper's number
    assert 0.9 in drawn  # the bar
    assert [t.get_text() for t in pole.get_xticklabels()] == ["1", "10"]


@pytest.mark.parametrize("word", judge.BADGES)
def test_a_claim_stands_behind_its_verdict_in_signs_that_the_font_has(word):
    judged = made().judged({"claims": [{"id": CLAIM.id, "verdict": word}]})
    (legend,) = figures.of_claims([CLAIM], judged).subfigs[0].legends
    title = legend.get_title().get_text()
    assert title.startswith(f"{judge.BADGES[word]} {word.upper()}  A claim")
    font = get_font(findfont("DejaVu Sans"))
    assert all(font.get_char_index(ord(letter)) for letter in title.replace("\n", ""))
    assert judged.sorted().verdicts == judged.verdicts
    assert figures.titled(CLAIM, made()) == CLAIM.text  # nothing was judged


def test_marks_stay_at_their_number_and_stand_apart_where_levels_are_words():
    words = tuple(f"Pole/{level}" for level in ("few", "many"))
    for cases, widest in ((("Pole/1", "Pole/10"), figures.CLOSE / 6), (words, 0.36)):
        figure = figures.of_claims([replace(CLAIM, paper_values={})], made(cases))
        drawn = [line.get_xdata() for line in figure.subfigs[0].axes[0].lines if len(line.get_xdata()) == 2]
        offsets = {round(float(x[0]), 9) for x in drawn if x[1] == x[0] + 1}
        assert {-max(offsets), 0.0, max(offsets)} == offsets  # the frames stay in the middle, the two arms beside it
        assert widest / 3 < max(offsets) <= widest


def test_a_claim_whose_cases_did_not_run_is_left_out():
    elsewhere = replace(CLAIM, id="an17/figure/b", cases=("Boat/1",))
    figure = figures.of_claims([CLAIM, elsewhere], made())
    assert len(figure.subfigs) == 1


def test_cases_without_levels_are_rows_and_arms_without_scores_are_left_out(tmp_path):
    scores = Scores(tuple(r for r in made(("Pole", "Car")).rows if r["arm"] != "clone"))
    figures.save(figures.of_claims([CLAIM], scores), tmp_path / "rows")
    with pytest.raises(ValueError, match="none of the claims"):
        figures.of_claims([CLAIM], Scores(()))


def test_scores_that_are_not_finite_do_not_stop_the_drawing(tmp_path):
    rows = [*made().rows, row("clone", "Pole/1", 9, score=float("nan"))]
    figures.save(figures.of_claims([CLAIM], Scores(tuple(rows))), tmp_path / "nan")


def test_curves_draw_each_arm_once(tmp_path):
    with figures.style():
        figure = Figure(figsize=(figures.WIDTH, 2.5), layout="constrained")
        axes = figure.subplots()
    figures.curves(axes, made(), "return", ARMS, "Pole/1")
    assert [t.get_text() for t in axes.texts] and {t.get_text() for t in axes.texts} == set(ARMS)
    assert len(axes.collections) == 4
    figures.save(figure, tmp_path / "curves")


def test_names_never_overlap_and_stay_inside():
    heights = {f"arm {i}": 0.5 for i in range(6)} | {"high": 1.0, "low": 0.0}
    places = sorted(figures._spread(heights, 0.1, 0.0, 1.0).values())
    assert min(np.diff(places)) > 0.099
    assert places[0] > -0.01
    assert places[-1] < 1.01


def test_arms_differ_in_colour_and_marker_and_the_reader_s_settings_are_untouched():
    before = dict(matplotlib.rcParams)
    looks = figures.looks([f"arm {i}" for i in range(8)])
    assert len({look.colour for look in looks.values()}) == len({look.marker for look in looks.values()}) == 8
    figures.of_claims([CLAIM], made())
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("colour", [*figures.COLOURS, figures.INK, figures.FAINT])
def test_coloured_names_can_be_read_on_white(colour):
    channels = [int(pair, 16) / 255 for pair in re.findall("..", colour[1:])]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    assert 1.05 / (luminance + 0.05) > 3.0  # WCAG's bar for graphics and large text
