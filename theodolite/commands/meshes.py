"""The meshes of `visualize --mesh` and `style --mesh`: a texture painted through views, and what is written of it.

A folder of results holds texture.png, strip.png (eight sides), turntable.apng (once around) and mesh.glb, textured.
"""

from pathlib import Path
from typing import Any

from theodolite.commands.visualize import Flags
from theodolite.commands.watching import last

VIEWS, SIDE, TEXELS, STEPS = 128, 160, 384, 256
"""Rasterised views, their pixels, and the defaults of --size and --steps."""
FRAMES, SIDE_OF_FRAMES = 36, 256
CONTENT_WEIGHT = 15.0
"""At which both the former paint and the style are seen, with SqueezeNet."""


def read(name: str) -> Any:
    """One of our own shapes by its name, or a file.

    Raises:
        UserError: it is neither, or the file holds no mesh.
    """
    from theodolite.core.errors import UserError, nearest
    from theodolite.interpret.vision import mesh, shapes

    if name in shapes.SHAPES:
        return shapes.shape(name)
    if not Path(name).suffix:
        known = ", ".join(shapes.SHAPES)
        raise UserError(
            f"--mesh {name}: expected one of {known}, or a file that ends in {', '.join(mesh.KINDS)}."
            f"{nearest(name, shapes.SHAPES)}"
        )
    return mesh.load(name)


def visualize(flags: Flags, network: Any, name: str) -> int:
    """Paint a mesh so that its views excite a part of a network."""
    import jax

    from theodolite.core.errors import UserError
    from theodolite.interpret.vision import objective_text, optimize, rasterise, texture

    if flags.objective is None:
        raise UserError("--mesh paints one objective, such as --objective channel:fire8:200; a gallery is flat.")
    objective, shape = objective_text.parse(flags.objective, network), read(name)
    size, steps = flags.size or TEXELS, flags.steps or STEPS
    made = parameterization(flags.parameterization, shape, size)
    seen = rasterise.views(shape, VIEWS, SIDE, jax.random.key(flags.seed))
    config = optimize.Config(learning_rate=flags.learning_rate or 0.05, steps=steps, every=min(32, steps))
    chunks = optimize.optimise(network, objective, made, texture.through(seen), config, flags.seed)
    ended = last(f"{objective} of {network.name} on {name}", chunks, steps)
    write(Path(flags.out), shape, ended.chunk.images[0])
    print(f"{flags.out} holds {name}, painted to show {objective} of {network.name}: mesh.glb, turntable.apng, "
          "strip.png and texture.png.")  # fmt: skip
    return ended.code


def parameterization(kind: str, shape: Any, size: int) -> Any:
    """How a texture is made of parameters; cppn and laplacian are solid, so that they have no seams.

    Raises:
        UserError: a kind that needs a flat picture.
    """
    from theodolite.core.errors import UserError
    from theodolite.interpret.vision import parameterizations, texture

    makers = {
        "fourier": lambda: parameterizations.fourier(size),
        "pixels": lambda: parameterizations.pixels(size),
        "laplacian": lambda: texture.solid_pyramid(shape, size),
        "cppn": lambda: texture.solid(shape, size),
    }
    if kind not in makers:
        raise UserError(f"--parameterization {kind}: a mesh is painted by one of {', '.join(makers)}.")
    return makers[kind]()


def style(flags: Any, network: Any, picture: Any, name: str) -> int:
    """Paint a mesh in the style of a picture; what it looked like before shines through."""
    import jax
    import jax.numpy as jnp

    from theodolite.interpret.vision import images, optimize, parameterizations, rasterise, style_transfer, texture

    where, shape = style_transfer.layers_of(network), read(name)
    original = texture.clay(shape, TEXELS) if shape.texture is None else images.resized(shape.texture, (TEXELS, TEXELS))
    targets = texture.style_targets(network, jnp.asarray(images.square(picture, 2 * SIDE)), where.style)
    wanted = texture.Style(targets, where.content[0], CONTENT_WEIGHT * flags.content_weight)
    seen = rasterise.views(shape, VIEWS, SIDE, jax.random.key(flags.seed), (10.0, 12.0))
    made = parameterizations.fourier(TEXELS)
    score = texture.style_score(network, wanted, made, original, seen)
    config = optimize.Config(learning_rate=flags.learning_rate, steps=flags.steps, every=min(32, flags.steps))
    start = jax.random.key(flags.seed)
    chunks = optimize.ascend(config, score, made, network.params, start, texture.begin(wanted))
    ended = last(f"{flags.style} on {name}", chunks, flags.steps)
    folder = Path(flags.out).with_suffix("")
    write(folder, shape, ended.chunk.images[0])
    print(f"{folder} holds {name} in the style of {flags.style}, by {network.name}: mesh.glb, turntable.apng, "
          "strip.png and texture.png.")  # fmt: skip
    return ended.code


def write(folder: Path, shape: Any, painted: Any) -> None:
    """Everything that one may want of a painted mesh."""
    from theodolite.interpret.vision import images, mesh, rasterise

    frames = turn(shape, painted, FRAMES)
    images.save(folder / "texture.png", painted)
    images.animate(folder / "turntable.apng", frames, 0.08)
    images.save(folder / "strip.png", images.sheet(frames[:: FRAMES // 8][:8], columns=4))
    _, covered = rasterise.baked(shape, painted.shape[0])
    mesh.save_glb(folder / "mesh.glb", shape, images.encode(rasterise.spread(painted, covered)))


def turn(shape: Any, painted: Any, count: int) -> list[Any]:
    """Frames of a turn under a soft lamp, on white, drawn at twice the size and averaged."""
    import jax.numpy as jnp
    import numpy as np

    from theodolite.interpret.vision import rasterise

    frames, size = [], SIDE_OF_FRAMES
    for eye in rasterise.turntable(count, 25.0, 13.0):  # one at a time: thirty-six large frames would fill memory
        seen = rasterise.look(shape, [eye], 2 * size)
        light = rasterise.shading(shape, [eye], 2 * size)[..., None]
        drawn = np.asarray(rasterise.render(jnp.asarray(painted), seen.uv, seen.mask, 1.0)) * light
        frames.append(drawn[0].reshape(size, 2, size, 2, 3).mean((1, 3)))
    return frames
