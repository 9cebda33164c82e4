"""Techniques 5 and 6 of `image_parameterizations`: textures of meshes, seen by a network through rendered views."""

from theodolite.core.claim import Claim, Job, Size

CLAIMS_3D: tuple[Claim, ...] = ()


def jobs_3d(size: Size, seeds: int | None) -> list[Job]:
    """The work behind the claims."""
    return []
