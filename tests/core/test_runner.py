import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic_items
from synthetic_items import ITEM

from theodolite.core import compile_cache, pool, results, runner, scores
from theodolite.core.claim import Job, at_least
from theodolite.core.errors import UserError

HERE = Path(__file__).resolve().parent
CHILD = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}, {root!r}]
from synthetic_items import ITEM
from theodolite.core import runner
if __name__ == "__main__":
    runner.run(ITEM, "quick", Path({out!r}), workers=1)
"""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return runner.run(ITEM, "quick", tmp_path_factory.mktemp("once") / "run", workers=2)


@pytest.fixture
def finished(once, tmp_path):
    return once._replace(folder=Path(shutil.copytree(once.folder, tmp_path / "run")))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_leaves_every_file_and_a_strict_verdict(finished, tmp_path):
    names = {p.name for p in finished.folder.iterdir()}
    assert names >= {"run.json", "scores.jsonl", "verdict.json", "figure.svg", "figure.png", "report.html"}
    assert not [n for n in names if n.endswith(".part")]
    verdict = json.loads((finished.folder / "verdict.json").read_text(), parse_constant=pytest.fail)
    assert {c["id"][-1]: c["verdict"] for c in verdict["claims"]} == {"a": "supported", "b": "refuted", "c": "not run"}
    assert verdict["command"] == "theodolite run an17/synthetic --size quick"
    assert verdict["versions"]["python"]
    assert verdict["wall_s"] > 0
    assert len(finished.scores.rows) == 20
    assert verdict["claims"][0]["paper_value"] == {"good": {"Task/1": 0.97}, "bad": {"Task/10": "0.3 ± 0.1"}}


def test_workers_have_one_thread_and_our_own_environment_is_untouched(tmp_path, monkeypatch):
    marks = tmp_path / "marks"
    monkeypatch.setenv("SYNTHETIC_MARKS", str(marks))
    before = dict(os.environ)
    runner.run(ITEM, "smoke", tmp_path / "run", workers=1)
    assert dict(os.environ) == before
    assert all(line.split("|")[2] == "1" for line in marks.read_text().splitlines())
    assert [line.split("|")[0] for line in marks.read_text().splitlines()] == ["good", "good", "bad", "bad"]  # by cost


def test_progress_counts_jobs_and_rows(tmp_path):
    seen = []
    runner.run(ITEM, "smoke", tmp_path / "run", seeds=3, workers=2, on_progress=seen.append)
    assert (seen[0].done, seen[0].total, seen[0].rows) == (0, 4, ())
    assert (seen[-1].done, seen[-1].total, len(seen[-1].rows), seen[-1].running) == (4, 4, 12, ())
    assert any(p.running == ("good · Task/1 · seeds 0-2",) for p in seen)


def test_a_killed_run_continues_and_gives_the_verdict_of_an_undisturbed_one(finished, tmp_path):
    out = tmp_path / "killed"
    code = tmp_path / "child.py"
    code.write_text(CHILD.format(here=str(HERE), root=str(HERE.parents[1]), out=str(out)))
    marks = tmp_path / "marks"
    environment = {**os.environ, "SYNTHETIC_SLEEP": "0.4", "SYNTHETIC_MARKS": str(marks)}
    child = subprocess.Popen([sys.executable, str(code)], env=environment)
    deadline = time.monotonic() + 60
    while not (out / "scores.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    saved = (out / "scores.jsonl").read_bytes()
    with (out / "scores.jsonl").open("ab") as file:  # as a kill in the middle of a write would leave it
        file.write(saved.splitlines(keepends=True)[0].replace(b'"job": "', b'"job": "torn ') + b'{"arm": "go')
    before = len(marks.read_text().splitlines())
    assert before < 4
    again = runner.run(ITEM, "quick", out, workers=2)
    assert json.dumps(again.verdict["claims"]) == json.dumps(finished.verdict["claims"])
    assert again.verdict["scores_sha256"] != ""
    assert [r["metrics"] for r in again.scores.rows] == [r["metrics"] for r in finished.scores.rows]
    assert len(results.read_json(out / "run.json")["sessions"]) == 2


def test_workers_end_with_a_killed_parent(tmp_path):
    marks, code = tmp_path / "marks", tmp_path / "child.py"
    code.write_text(CHILD.format(here=str(HERE), root=str(HERE.parents[1]), out=str(tmp_path / "run")))
    environment = {**os.environ, "SYNTHETIC_SLEEP": "300", "SYNTHETIC_MARKS": str(marks)}
    child = subprocess.Popen([sys.executable, str(code)], env=environment)
    deadline = time.monotonic() + 60
    while not marks.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.kill()
    child.wait()
    worker = int(marks.read_text().split("|")[3])
    deadline = time.monotonic() + 20
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(process: int) -> bool:
    try:  # an orphan that nobody has collected yet is a zombie
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_second_run_does_nothing_and_changes_nothing(finished, monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHETIC_MARKS", str(tmp_path / "marks"))
    before = {p.name: p.read_bytes() for p in finished.folder.iterdir()}
    runner.run(ITEM, "quick", finished.folder)
    assert not (tmp_path / "marks").exists()
    assert {p.name: p.read_bytes() for p in finished.folder.iterdir()} == before


def test_a_half_line_and_an_unfinished_job_are_dropped(finished):
    path = finished.folder / "scores.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:-1]) + whole[-1][:-9])
    kept = scores.reopen(path)
    assert len(kept.rows) == 15
    assert len(path.read_bytes().splitlines()) == 15
    path.write_bytes(whole[0] + b"nonsense\n" + whole[1])
    with pytest.raises(UserError, match="line 2"):
        scores.reopen(path)


@pytest.mark.parametrize(("size", "seeds"), [("full", None), ("quick", 4)])
def test_a_folder_of_another_configuration_is_refused(finished, size, seeds):
    before = (finished.folder / "run.json").read_bytes()
    with pytest.raises(UserError, match="--out"):
        runner.run(ITEM, size, finished.folder, seeds=seeds)
    with pytest.raises(UserError, match="an17/other"):
        runner.run(replace(ITEM, name="other"), "quick", finished.folder)
    assert (finished.folder / "run.json").read_bytes() == before


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="no run folder"):
        runner.run(ITEM, "smoke", tmp_path)
    with pytest.raises(UserError, match="Did you mean quick"):
        runner.run(ITEM, "quik", tmp_path)
    with pytest.raises(UserError, match="at least 1"):
        runner.run(ITEM, "smoke", tmp_path / "new", seeds=0)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("trouble", "says"), [("raise", "fell over"), ("die", "SIGKILL"), ("empty", "no rows")])
def test_a_failing_job_is_named_the_others_go_on_and_it_is_tried_again(tmp_path, monkeypatch, trouble, says):
    monkeypatch.setenv("SYNTHETIC_TROUBLE", trouble)
    with pytest.raises(runner.JobsFailed, match=says) as failure:
        runner.run(ITEM, "quick", tmp_path / "run", workers=1)
    assert "good · Task/1 · seeds 0-4" in str(failure.value)
    assert says in (tmp_path / "run" / "failures.txt").read_text()
    verdict = results.read_json(tmp_path / "run" / "verdict.json")
    assert [c["verdict"] for c in verdict["claims"]] == ["undecided", "refuted", "not run"]
    with pytest.raises(UserError, match="failed"):
        results.publish(tmp_path / "run", tmp_path / "results")
    monkeypatch.delenv("SYNTHETIC_TROUBLE")
    again = runner.run(ITEM, "quick", tmp_path / "run", workers=1)
    assert again.verdict["claims"][0]["verdict"] == "supported"
    assert not (tmp_path / "run" / "failures.txt").exists()


def test_an_interrupt_leaves_what_is_done_and_no_worker_behind(tmp_path):
    def interrupt(progress):
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(ITEM, "quick", tmp_path / "run", workers=1, on_progress=interrupt)
    assert len(lines(tmp_path / "run" / "scores.jsonl")) == 5
    assert len(runner.run(ITEM, "quick", tmp_path / "run").scores.rows) == 20


def test_two_runs_into_one_folder_are_kept_apart(finished):
    with runner.alone(finished.folder), pytest.raises(UserError, match="another process"):
        runner.run(ITEM, "quick", finished.folder)


def test_a_full_disk_loses_nothing(finished, monkeypatch):
    path = finished.folder / "scores.jsonl"
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scores.os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        scores.append(path, [{"arm": "a", "case": "c", "seed": 0, "metrics": {}}])
    assert path.read_bytes() == before


def test_jobs_with_equal_names_are_a_mistake_of_the_item():
    twins = replace(ITEM, jobs=lambda size, seeds: [Job("a", "c", (0,), list), Job("a", "c", (0,), list)])
    with pytest.raises(ValueError, match="a · c · seed 0"):
        pool.jobs_of(twins, "smoke", None)


def test_published_results_verify_and_are_deterministic(finished, tmp_path):
    folder = results.publish(finished.folder, tmp_path / "results")
    assert sorted(p.name for p in folder.iterdir()) == ["figure.svg", "scores.jsonl.gz", "verdict.json"]
    assert folder == tmp_path / "results" / "an17" / "synthetic" / "quick"
    first = (folder / "scores.jsonl.gz").read_bytes()
    reordered = finished.folder / "scores.jsonl"
    reordered.write_text("".join(reversed(reordered.read_text().splitlines(keepends=True))))
    results.publish(finished.folder, tmp_path / "results")
    assert (folder / "scores.jsonl.gz").read_bytes() == first
    assert results.verify(tmp_path / "results", lambda name: ITEM) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("verdict.json", '"verdict": "refuted"', '"verdict": "supported"', r"claims\[an17/synthetic/b\].verdict"),
        ("verdict.json", '"estimate": 0.', '"estimate": 0.1', "estimate"),
        ("verdict.json", '"Bad is good."', '"Bad is bad."', "text"),
        ("verdict.json", '"item": "an17/synthetic"', '"item": "an17/else"', "the verdict is of an17/else"),
        ("verdict.json", "{", "[", "not JSON"),
    ],
)
def test_a_tampered_verdict_is_found(finished, tmp_path, file, old, new, says):
    folder = results.publish(finished.folder, tmp_path / "results")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert any(re.search(says, d) for d in results.verify(tmp_path / "results", lambda name: ITEM))


def test_tampered_scores_a_changed_claim_and_missing_files_are_found(finished, tmp_path):
    folder = results.publish(finished.folder, tmp_path / "results")
    stricter = replace(ITEM, claims=(replace(ITEM.claims[0], expect=(at_least("good", 0.99),)), *ITEM.claims[1:]))
    assert results.verify(tmp_path / "results", lambda name: stricter)
    kept = scores.read(folder / "scores.jsonl.gz")
    better = scores.Scores(tuple({**r, "metrics": {"score": r["metrics"]["score"] + 1e-5}} for r in kept.rows))
    (folder / "scores.jsonl.gz").write_bytes(scores.compressed(better))
    assert any("scores_sha256" in d for d in results.verify(tmp_path / "results", lambda name: ITEM))
    (folder / "scores.jsonl.gz").write_bytes(b"no gzip")
    assert any("gzip" in d for d in results.verify(tmp_path / "results", lambda name: ITEM))
    (folder / "scores.jsonl.gz").unlink()
    assert any("missing" in d for d in results.verify(tmp_path / "results", lambda name: ITEM))


def test_rejudging_writes_what_todays_claims_say_and_keeps_scores_and_provenance(finished, tmp_path):
    folder = results.publish(finished.folder, tmp_path / "results")
    before, kept = results.read_json(folder / "verdict.json"), (folder / "scores.jsonl.gz").read_bytes()
    text = replace(ITEM, claims=(replace(ITEM.claims[0], text="Put better."), *ITEM.claims[1:]))
    assert any("Put better." in d for d in results.rejudge(tmp_path / "results", lambda name: text))
    after = results.read_json(folder / "verdict.json")
    assert results.verify(tmp_path / "results", lambda name: text) == []
    assert after["claims"][0].pop("text") == "Put better." != before["claims"][0].pop("text")
    assert after == before and (folder / "scores.jsonl.gz").read_bytes() == kept
    assert (folder / "figure.svg").read_bytes() != (finished.folder / "figure.svg").read_bytes()  # it says the claim
    assert results.rejudge(tmp_path / "results", lambda name: ITEM) != []
    assert (folder / "figure.svg").read_bytes() == (finished.folder / "figure.svg").read_bytes()
    assert not (folder / "figure.png").exists()
    results.rejudge(tmp_path / "results", lambda name: text)
    assert results.rejudge(tmp_path / "results", lambda name: text) == []
    (folder / "scores.jsonl.gz").write_bytes(scores.compressed(scores.Scores(())))
    whole = (folder / "verdict.json").read_bytes()
    assert "scores_sha256" in results.rejudge(tmp_path / "results", lambda name: ITEM)[0]
    assert (folder / "verdict.json").read_bytes() == whole


def test_a_stored_verdict_has_short_lists_and_the_same_content():
    verdict = {"a": [1, -2.5e-07, None, True], "b": [{"c": ["x [1,\n2]", "  y"]}, []], "d": [[1, 2], [3]], "e": ["{"]}
    text = results.written(verdict)
    assert json.loads(text) == verdict and text.count("\n") == 14
    assert ' "a": [1, -2.5e-07, null, true],' in text.splitlines()


def test_a_smoke_run_cannot_be_published(tmp_path):
    runner.run(ITEM, "smoke", tmp_path / "run")
    with pytest.raises(UserError, match="smoke"):
        results.publish(tmp_path / "run", tmp_path / "results")


def test_the_compilation_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("THEODOLITE_CACHE", raising=False)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compile_cache.folder() == tmp_path / "theodolite" / "jax"
    monkeypatch.setenv("THEODOLITE_CACHE", str(tmp_path / "mine"))
    assert compile_cache.folder() == tmp_path / "mine" / "jax"
    monkeypatch.setenv("THEODOLITE_CACHE", "")
    assert compile_cache.folder() is None
    assert compile_cache.enable() is None
    assert compile_cache.environment() == {}


def test_synthetic_rows_come_from_the_module_named_in_the_item():
    assert synthetic_items.ITEM.module == "synthetic_items"
