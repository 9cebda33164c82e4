"""Worker: the same steps in PyTorch, in its faster memory layout (channels last)."""

import torch
from vision_stack import CHANNEL, POOLED, RATE, STEPS, image, weights
from worker import serve

LAST = torch.channels_last
kernels = [torch.from_numpy(k.transpose(3, 2, 0, 1).copy()).contiguous(memory_format=LAST) for k in weights()]
start = torch.from_numpy(image().transpose(0, 3, 1, 2).copy()).contiguous(memory_format=LAST)


def segment() -> dict:
    x = start.clone(memory_format=LAST)
    for _ in range(STEPS):
        y = x.requires_grad_(True)
        for i, kernel in enumerate(kernels):
            y = torch.relu(torch.nn.functional.conv2d(y, kernel, padding=1))
            y = torch.nn.functional.max_pool2d(y, 2) if i in POOLED else y
        (gradient,) = torch.autograd.grad(y[:, CHANNEL].mean(), x)
        x = (x + RATE * gradient).detach()
    return {"steps": STEPS, "moved": float((x - start).abs().sum())}


serve(segment, {"steps": segment})
