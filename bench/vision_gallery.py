"""A gallery as batches against one channel after the other: SqueezeNet, 128 pixels, Fourier basis, standard transforms.

Alternating segments of the same number of steps; the time is per picture and step. The peak of memory is the process's.
"""

import os
import resource
import time

import jax
import jax.numpy as jnp
from harness import arguments, bar, finish, ratio, said

from theodolite.core import compile_cache, devices
from theodolite.interpret.vision import gallery, models, optimize, parameterizations, transforms

LAYER, CHANNELS, SIZE, STEPS = "fire9", 64, 128, 32


def segment(batch: int, network: models.Network):
    """A compiled segment of some steps on a batch, and what calls it."""
    made = gallery.copies(parameterizations.fourier(SIZE), batch)
    score = gallery.channels_score(network, LAYER, made, transforms.standard())
    config, key = optimize.Config(steps=STEPS, every=STEPS), jax.random.key(0)
    fixed = (network.params, jnp.arange(batch))
    run = lambda: list(optimize.ascend(config, score, made, fixed, key))  # noqa: E731
    run()
    return run


def timed(run, batch: int) -> float:
    """Seconds per picture and step."""
    began = time.perf_counter()
    run()
    return (time.perf_counter() - began) / batch / STEPS


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    load = os.getloadavg()[0]
    compile_cache.enable()
    devices.one_per_core()  # as the command does
    network = models.load("squeezenet")
    alone, together = segment(1, network), segment(gallery.BATCH, network)
    ones, batches = [], []
    for _ in range(options.rounds):
        ones.append(sum(timed(alone, 1) for _ in range(4)) / 4)
        batches.append(timed(together, gallery.BATCH))
    faster = ratio(ones, batches)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [("", "ms per picture and step", f"s for {CHANNELS} channels of 128 steps")]
    rows += [(name, 1e3 * sum(t) / len(t), CHANNELS * 128 * sum(t) / len(t))
             for name, t in (("one by one", ones), (f"batches of {gallery.BATCH}", batches))]  # fmt: skip
    found = {
        "what": f"gallery of {CHANNELS} channels of {LAYER}", "faster": faster, "peak_mib": peak, "load_before": load,
        "bars": [bar(f"at least 1.5x faster per picture: {said(faster)}", faster["ratio"] >= 1.5)],
    }  # fmt: skip
    finish("vision_gallery", found, rows)


if __name__ == "__main__":
    main()
