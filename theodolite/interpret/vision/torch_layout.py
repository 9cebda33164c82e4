"""Layers out of a PyTorch state dict: kernels turned round, batch normalisation folded into the convolution before."""

from typing import NamedTuple

import numpy as np

from theodolite.core.errors import UserError, nearest
from theodolite.interpret.vision.network import Layer

Named = dict[str, np.ndarray]


class StateDict(NamedTuple):
    """Arrays by their PyTorch names, and the file they came from for errors."""

    arrays: Named
    where: str

    def array(self, name: str, *shape: int | None) -> np.ndarray:
        """One array of a shape; None stands for any length.

        Raises:
            UserError: there is no such array, or it has another shape.
        """
        if name not in self.arrays:
            raise UserError(
                f"{self.where} has no array {name!r}.{nearest(name, self.arrays)} Is it of another network?"
            )
        found = self.arrays[name]
        if len(found.shape) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found.shape, strict=True)):
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise UserError(
                f"{self.where}: {name} has the shape {found.shape}, expected ({expected}). Is it of another network, "
                "or of one that was changed?"
            )
        return found.astype(np.float32)

    def convolution(self, name: str, norm: str | None = None, epsilon: float = 1e-5) -> Layer:
        """A convolution, with the batch normalisation that follows it if one is named.

        Raises:
            UserError: an array is missing or has another shape.
        """
        kernel = self.array(f"{name}.weight", None, None, None, None).transpose(2, 3, 1, 0)
        width = kernel.shape[-1]
        bias = self.array(f"{name}.bias", width) if f"{name}.bias" in self.arrays else np.zeros(width, np.float32)
        if norm is None:
            return {"kernel": kernel, "bias": bias}
        weight, shift, mean, variance = (
            self.array(f"{norm}.{part}", width) for part in ("weight", "bias", "running_mean", "running_var")
        )
        gain = weight / np.sqrt(variance + np.float32(epsilon))
        return {"kernel": kernel * gain, "bias": shift + (bias - mean) * gain}

    def dense(self, name: str, side: int = 1) -> Layer:
        """A linear layer as a convolution over a whole map of `side` x `side` positions.

        Raises:
            UserError: an array is missing or has another shape.
        """
        weight = self.array(f"{name}.weight", None, None)
        outputs, inputs = weight.shape
        if inputs % side**2:
            raise UserError(f"{self.where}: {name} reads {inputs} numbers, expected a multiple of {side}x{side}.")
        kernel = weight.reshape(outputs, inputs // side**2, side, side).transpose(2, 3, 1, 0)
        return {"kernel": kernel, "bias": self.array(f"{name}.bias", outputs)}
