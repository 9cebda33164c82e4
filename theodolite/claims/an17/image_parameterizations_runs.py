"""What the arms of `image_parameterizations` share: sizes, targets, learning rates tuned alike, pictures among scores.

Every arm has the same three learning rates. They run side by side on a seed that is not reported, and the one with the
best objective serves the reported seeds, in the same compiled program.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from io import BytesIO
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from theodolite.core.claim import Size
from theodolite.interpret.vision import images, models, optimize
from theodolite.interpret.vision.network import Network
from theodolite.interpret.vision.optimize import Config, Score
from theodolite.interpret.vision.parameterizations import Parameterization

TUNING_SEED = 900
RATES = (0.01, 0.03, 0.1)
SIZES: dict[Size, dict[str, int]] = {
    "smoke": {"pixels": 48, "steps": 3, "seeds": 1, "targets": 1},
    "quick": {"pixels": 96, "steps": 96, "seeds": 3, "targets": 4},
    "full": {"pixels": 160, "steps": 256, "seeds": 5, "targets": 4},
}
QUALITY = 50
"""Of stored pictures, of 100."""
BYTES = 6
"""Of a packed picture in each number: a double holds 52 bits exactly."""


class Found(NamedTuple):
    """Runs of one arm: parameters and objectives over steps by [target, seed], and the rate that was chosen."""

    params: list[list[Any]]
    values: np.ndarray
    rate: float


@cache
def network(name: str) -> Network:
    """A pretrained network, loaded once per process."""
    return models.load(name)


def tuned(
    score: Score,
    parameterization: Parameterization,
    fixed: Any,
    each: Callable[[int, int], Any],
    targets: int,
    seeds: Sequence[int],
    config: Config,
    rates: Sequence[float] = RATES,
) -> Found:
    """Choose a rate on the tuning seed, then run the seeds. `each(target, seed)` is what differs from run to run."""
    width = len(rates)
    run = partial(_side_by_side, config, score, parameterization, fixed, each, targets)
    trial = run([TUNING_SEED] * width, rates)[1][:, :, -8:].mean(-1)
    rate = rates[int(np.argmax((trial / (np.abs(trial).max(1, keepdims=True) + 1e-12)).mean(0)))]
    params: list[list[Any]] = [[] for _ in range(targets)]
    values = []
    for start in range(0, len(seeds), width):
        some = list(seeds[start : start + width])
        found, reached = run(some + some[:1] * (width - len(some)), [rate] * width)
        values.append(reached[:, : len(some)])
        for t in range(targets):
            params[t] += [jax.tree.map(lambda x, i=t * width + s: x[i], found) for s in range(len(some))]
    return Found(params, np.concatenate(values, 1), rate)


def _side_by_side(
    config: Config, score: Score, made: Any, fixed: Any, each: Any, targets: int, seeds: Any, rates: Any
) -> tuple[Any, np.ndarray]:
    """Every target with every pair of a seed and a rate, as one program."""
    lanes = [(t, s, r) for t in range(targets) for s, r in zip(seeds, rates, strict=True)]
    keys = jnp.stack([jax.random.fold_in(jax.random.key(s), t) for t, s, _ in lanes])
    own = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(leaf) for leaf in x]), *[each(t, s) for t, s, _ in lanes])
    params, values = optimize.many(config, score, made, fixed, own, jnp.array([r for *_, r in lanes]), keys)
    return params, np.asarray(values).reshape(targets, len(rates), -1)


def drawn(parameterization: Parameterization, found: Found) -> np.ndarray:
    """The pictures of all runs, [target, seed, B, H, W, C]."""
    draw = jax.jit(parameterization.apply)
    return np.array([[np.asarray(draw(p)) for p in row] for row in found.params])


def packed(picture: np.ndarray) -> tuple[list[float], list[float]]:
    """A picture of 3 or 4 channels as two lists of numbers among the scores: a WebP file, six bytes in each number."""
    buffer = BytesIO()
    Image.fromarray(images.to_bytes(picture)).save(buffer, "WEBP", quality=QUALITY, method=6)
    content = buffer.getvalue()
    content = len(content).to_bytes(BYTES, "big") + content
    content += b"\0" * (-len(content) % (2 * BYTES))
    numbers = [float(int.from_bytes(content[i : i + BYTES], "big")) for i in range(0, len(content), BYTES)]
    return numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]


def unpacked(curve: Any) -> np.ndarray:
    """The picture in two lists of numbers, with values between 0 and 1."""
    numbers = [int(n) for axis in curve for n in axis]
    content = b"".join(n.to_bytes(BYTES, "big") for n in numbers)
    length = int.from_bytes(content[:BYTES], "big")
    return np.asarray(Image.open(BytesIO(content[BYTES : BYTES + length])), np.float32) / 255
