"""Items without JAX for the tests of the runner: worker processes import them from here by module name.

What they do is steered by the environment, which spawned workers inherit.
"""

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

from theodolite.core.claim import Claim, Item, Job, Paper, at_least, better, row


def play(arm: str, case: str, seeds: tuple[int, ...]):
    """Two rows per call, slow or failing where the environment says so; leaves a mark for each time it ran."""
    marks = os.environ.get("SYNTHETIC_MARKS")
    if marks:
        with Path(marks).open("a") as file:
            file.write(f"{arm}|{case}|{os.environ.get('NPROC', '')}|{os.getpid()}\n")
    time.sleep(float(os.environ.get("SYNTHETIC_SLEEP", "0")))
    trouble = os.environ.get("SYNTHETIC_TROUBLE", "")
    if arm == "good" and trouble == "raise":
        raise RuntimeError("the environment fell over")
    if arm == "good" and trouble == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if arm == "good" and trouble == "empty":
        return
    print("noise of a job")
    for seed in seeds:
        noise = random.Random(f"{arm}{case}{seed}").gauss(0, 0.02)
        yield row(arm, case, seed, score=(0.95 if arm == "good" else 0.3) + noise)


def jobs(size: str, seeds: int | None) -> list[Job]:
    """Two arms on two cases."""
    chosen = tuple(range(seeds or {"smoke": 2, "quick": 5, "full": 8}[size]))
    return [
        Job(arm, case, chosen, partial(play, arm, case, chosen), cost=2.0 if arm == "good" else 1.0)
        for case in ("Task/1", "Task/10")
        for arm in ("bad", "good")
    ]


ITEM = Item(
    name="synthetic", edition="an17", module=__name__, title="A synthetic item", category="Testing",
    papers=(Paper("On nothing", "Nobody", 2018, arxiv="0000.00000"),), jobs=jobs,
    claims=(
        Claim(id="an17/synthetic/a", text="Good is better than bad.", metric="score", arms=("good", "bad"),
              expect=(better("good", "bad", by=0.3), at_least("good", 0.8, each=True)),
              paper_values={("good", "Task/1"): 0.97, ("bad", "Task/10"): "0.3 ± 0.1"}),
        Claim(id="an17/synthetic/b", text="Bad is good.", metric="score", arms=("bad",), source="newsletter",
              expect=(at_least("bad", 0.9),)),
        Claim(id="an17/synthetic/c", text="Something else.", metric="other", arms=("bad",),
              expect=(at_least("bad", 0.9),)),
    ),
)  # fmt: skip
