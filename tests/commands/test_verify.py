"""The published results of this repository: their verdicts follow from their scores, and tampering is seen."""

import gzip
import json
import shutil

import pytest

from theodolite.commands.list import RESULTS

SMALLEST = min(RESULTS.glob("*/*/*/scores.jsonl.gz"), key=lambda path: path.stat().st_size).parent


@pytest.fixture
def copy(tmp_path):
    """One published run, to be tampered with."""
    return shutil.copytree(SMALLEST, tmp_path / SMALLEST.relative_to(RESULTS))


def test_the_published_verdicts_follow_from_their_scores(say):
    found = say("verify")
    assert found.code == 0, found.out
    published = len(list(RESULTS.glob("*/*/*/verdict.json")))
    assert f"{published} published results, 0 differences in their verdicts" in found.out


def test_a_tampered_score_a_damaged_file_and_a_missing_one_are_named(say, copy, tmp_path):
    file = copy / "scores.jsonl.gz"
    whole = file.read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(whole).splitlines()]
    metrics = rows[0]["metrics"]
    metrics[next(iter(metrics))] = 0.123
    file.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode() + b"\n"))
    found = say("verify", "--results", tmp_path)
    assert found.code == 1 and f"{copy}: scores.jsonl.gz does not hold the scores that were judged" in found.out
    file.write_bytes(whole[:-100])
    found = say("verify", "--results", tmp_path)
    assert found.code == 1 and str(file) in found.out
    file.unlink()
    found = say("verify", "--results", tmp_path)
    assert found.code == 1 and f"{copy}: scores.jsonl.gz is missing" in found.out
