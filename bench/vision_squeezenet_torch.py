"""Worker: the same steps in PyTorch's functions, in whichever memory layout is faster here; argument as for ours."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 (everybody's name for it)
from vision_squeezenet_task import CHANNEL, JITTERS, RATE, SD, SHAPE, SIZE, STEPS
from worker import serve

FOLDER = Path(sys.argv[1])
task = {name: torch.from_numpy(array) for name, array in np.load(FOLDER / "task.npz").items()}
LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
MEAN = torch.tensor([103.939, 116.779, 123.68]).reshape(1, 3, 1, 1)
kernels: dict = {}


def lay_out(layout: torch.memory_format) -> None:
    """The kernels in a memory layout."""
    for name, array in task.items():
        if name.endswith(":kernel"):
            kernels[name.removesuffix(":kernel")] = array.permute(3, 2, 0, 1).contiguous(memory_format=layout)


def convolve(x, layer, **options):
    return F.conv2d(x, kernels[layer], task[f"{layer}:bias"], **options)


def channel_mean(picture):
    """SqueezeNet up to fire9, whose expansions of 1x1 come first: the mean of one channel."""
    x = F.relu(convolve(picture.flip(1) * 255 - MEAN, "conv1", stride=2))
    for n in range(2, 10):
        x = F.max_pool2d(x, 3, 2) if n in (2, 4, 6) else x
        x = F.relu(convolve(x, f"fire{n}/squeeze"))
        wide = [convolve(x, f"fire{n}/expand1x1"), convolve(x, f"fire{n}/expand3x3", padding=1)]
        x = F.relu(torch.cat(wide, 1))
    return x[:, CHANNEL].mean()


def draw(waves):
    """The picture of Fourier coefficients, [1, 3, H, W]."""
    scaled = waves * task["scale"]
    plane = torch.fft.irfft2(torch.complex(scaled[0], scaled[1]), s=(SIZE, SIZE))
    return torch.sigmoid(torch.einsum("bchw,dc->bdhw", plane, task["colours"]))


def resample(picture, matrix, shift):
    """Bilinear samples at matrix·(p - middle) + middle + shift, rows before columns; grey outside."""
    swapped = matrix.flip(0, 1)  # PyTorch has columns before rows, and -1 to 1 from the first to the last
    theta = torch.cat([swapped, (2 * shift.flip(0) / (SIZE - 1))[:, None]], 1)[None]
    grid = F.affine_grid(theta, [1, 3, SIZE, SIZE], align_corners=True)
    return 0.5 + F.grid_sample(picture - 0.5, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def random_draw():
    """Matrix and shift of the standard transforms."""
    angle = torch.deg2rad(task["angles"][torch.randint(len(task["angles"]), ())])
    zoom = task["scales"][torch.randint(len(task["scales"]), ())]
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([torch.stack([cos, sin]), torch.stack([-sin, cos])]) / zoom
    shift = sum(torch.randint(0, j + 1, (2,)).float() for j in JITTERS) - sum(JITTERS) / 2
    return matrix, shift


def ascend(steps: int) -> float:
    waves = (SD * torch.randn(SHAPE)).requires_grad_(True)
    optimiser = torch.optim.Adam([waves], lr=RATE)
    for _ in range(steps):
        optimiser.zero_grad()
        value = channel_mean(resample(draw(waves), *random_draw()))
        (-value).backward()
        optimiser.step()
    return float(value.detach())


def faster_layout() -> str:
    """The layout in which some steps take less time."""
    took = {}
    for name, layout in LAYOUTS.items():
        lay_out(layout)
        ascend(3)
        began = time.perf_counter()
        ascend(8)
        took[name] = time.perf_counter() - began
    best = min(took, key=lambda name: took[name])
    lay_out(LAYOUTS[best])
    return best


def prepared() -> dict:
    torch.manual_seed(0)
    best = faster_layout()
    waves = task["waves"].clone().requires_grad_(True)
    value = channel_mean(resample(draw(waves), task["matrix"], task["shift"]))
    (gradient,) = torch.autograd.grad(value, waves)
    np.savez(FOLDER / "torch.npz", objective=value.detach().numpy(), gradient=gradient.numpy())
    return {"layout": best, **segment()}


def segment() -> dict:
    return {"steps": STEPS, "reached": ascend(STEPS)}


serve(prepared, {"steps": segment})
