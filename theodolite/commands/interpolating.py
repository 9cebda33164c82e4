"""visualize --objective A --to B: frames from one objective to another that share a part, so that they flow.

A .webp goes there and back for ever, a .png is the strip of its frames. After Mordvintsev et al. 2018, technique 1: a
spectrum for each frame, coarse grids in common, a penalty on what two layers see differently in neighbouring frames.
"""

from pathlib import Path
from typing import Any

from theodolite.commands.visualize import Flags, file_name
from theodolite.commands.watching import last

SIZE, STEPS = 128, 256
"""The defaults of --size and --steps."""
WEIGHT, RATIO = 0.1, 5.0
"""Of the penalty, and by what it falls from one frame's distance to the next."""
SECONDS = 0.25
"""Of a frame."""


def visualize(flags: Flags, network: Any, to: str) -> int:
    """Optimise all frames at once and write them."""
    from theodolite.interpret.vision import images, objective_text, objectives, optimize, parameterizations, transforms

    size, steps, frames = flags.size or SIZE, flags.steps or STEPS, flags.frames
    one, other = objective_text.parse(flags.objective or "", network), objective_text.parse(to, network)
    between = objectives.interpolation(one, other, frames)
    aligned = objectives.total(objectives.alignment(layer, RATIO) for layer in aligned_at(network))
    made = parameterizations.shared(size, frames)
    change = transforms.standard() if flags.transforms else transforms.none()
    config = optimize.Config(learning_rate=flags.learning_rate or 0.05, steps=steps, every=min(32, steps))
    chunks = optimize.optimise(network, between + WEIGHT * aligned, made, change, config, flags.seed)
    ended = last(f"{one} to {other} of {network.name}", chunks, steps)
    found = list(ended.chunk.images)
    path = Path(flags.out) / f"{file_name(flags.objective or '')}-to-{file_name(to)}.webp"
    images.animate(path, found + found[-2:0:-1], SECONDS)
    images.save(path.with_suffix(".png"), images.sheet(found, frames))
    print(f"{path} goes from {one} to {other} of {network.name} and back in {frames} frames, after "
          f"{ended.chunk.step} steps; the same as a strip: {path.with_suffix('.png').name}.")  # fmt: skip
    return ended.code


def aligned_at(network: Any) -> list[str]:
    """Two layers between a third and a half of the depth: fire4 and fire5 of SqueezeNet."""
    names = [name for name in network.channels if not name.endswith(("_pre_relu", "_squeeze", "_expand", "_depthwise"))]
    return list(dict.fromkeys((names[len(names) // 3], names[5 * len(names) // 12])))
