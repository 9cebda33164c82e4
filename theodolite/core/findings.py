"""What a run's own metrics say went wrong though every number is finite, as one sentence."""

import numpy as np

from theodolite.core.train import Chunk

MOST = 10.0
"""Excess of values from which they are said to explode; up to 1 they are possible, and a few happen to be passed."""


def exploding(chunk: Chunk) -> str:
    """Whether predicted values left what any policy can earn far behind: update, seed and by how much; or ""."""
    excess = chunk.metrics.get("excess")
    if excess is None or not (np.asarray(excess) > MOST).any():
        return ""
    found = np.asarray(excess)
    seed, column = np.unravel_index(found.argmax(), found.shape)
    update = chunk.update - found.shape[1] + int(column) + 1
    return (
        f"update {update:,}, seed {seed}: values are {found.max():,.0f} times what the largest reward seen, paid for "
        "ever, would be worth. Q-learning diverges."
    )
