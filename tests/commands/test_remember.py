"""theodolite remember: a page from a text file, and what it refuses."""

import json

import numpy as np
import pytest


def test_a_page_of_one_s_own_text(say, tmp_path):
    text = tmp_path / "tea.txt"
    rng = np.random.default_rng(0)
    text.write_text(" ".join(rng.choice(["tea", "milk", "sugar", "cup", "with"], 60_000)))
    said = say("remember", text, "--out", tmp_path / "out", "--cells", "gru", "--steps", "4", "--length", "24",
               "--parameters", "400", "--vocabulary", "5", "--sentences", "tea with milk", "--json")  # fmt: skip
    found = json.loads(said.out)
    assert said.code == 0 and found["loss"].keys() == {"GRU"} and np.isfinite(found["loss"]["GRU"])
    assert " tea with milk" in (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "gru.npz").exists()


def test_a_text_that_repeats_itself_is_told_so(say, tmp_path):
    text = tmp_path / "round.txt"
    text.write_text("tea with milk and sugar " * 8_000)
    said = say("remember", text, "--out", tmp_path / "out", "--vocabulary", "5")
    assert said.code == 2 and "begin differently" in said.err and "repeats itself" in said.err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(["--cells", "gur"], "Did you mean gru"), (["--steps", "0"], "must be at least 1"), ([], "expected at least 20")],
)
def test_what_cannot_be_is_said(say, tmp_path, flags, sentence):
    text = tmp_path / "short.txt"
    text.write_text("tea with milk")
    said = say("remember", str(text), "--out", str(tmp_path / "out"), *flags)
    assert said.code == 2 and sentence in said.err and not (tmp_path / "out").exists()
