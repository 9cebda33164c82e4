"""Triangle meshes with texture coordinates: read OBJ, PLY and GLB, unwrap where there are none, write GLB.

Texture coordinates follow OBJ: u to the right, v upwards, both modulo 1. A vertex where charts meet is there once for
each chart, so `uv` has a row per vertex.
"""

import json
import struct
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from theodolite.core.errors import UserError, needs_extra
from theodolite.core.files import write_bytes

KINDS = (".obj", ".ply", ".glb")
WELD = 1e-5
"""Vertices that lie closer than this are one point of the surface; meshes are fitted into a cube of side 2."""


class Mesh(NamedTuple):
    """Triangles, and for each of their corners a point of a texture."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    uv: Float[np.ndarray, "V 2"]
    texture: Float[np.ndarray, "H W 3"] | None = None
    """sRGB, 0 to 1, if the file brought one."""


def fitted(mesh: Mesh) -> Mesh:
    """The mesh with the centre of its bounding box in the origin and its largest extent from -1 to 1."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    scale = 2 / float((high - low).max())
    return mesh._replace(vertices=((mesh.vertices - (low + high) / 2) * scale).astype(np.float32))


def checked(vertices: Any, faces: Any, name: str) -> None:
    """Refuse what is no surface.

    Raises:
        UserError: no faces, numbers that are not finite, corners that do not exist, or no extent.
    """
    if len(faces) == 0:
        raise UserError(
            f"{name} has {len(vertices):,} points and no faces: a mesh of triangles is expected. "
            "Reconstruct a surface first, or choose another file."
        )
    if not np.isfinite(vertices).all():
        bad = int((~np.isfinite(vertices).all(1)).sum())
        count = "1 vertex" if bad == 1 else f"{bad:,} vertices"
        raise UserError(f"{name} has {count} with NaN or infinite coordinates: finite ones are expected.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise UserError(
            f"{name} has a face with corner {int(faces.max())} but only {len(vertices):,} vertices: it is damaged."
        )
    if not np.ptp(vertices, axis=0).max() > 0:
        raise UserError(f"{name} has all its vertices in one point: a surface with an extent is expected.")


def load(path: str | Path) -> Mesh:
    """A mesh out of an OBJ, PLY or GLB file, fitted, unwrapped if it has no texture coordinates.

    Raises:
        UserError: no such file, another format, a file that cannot be read, no surface in it, or `trimesh` is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS:
        raise UserError(f"{path} is no mesh that can be read: expected a file that ends in {', '.join(KINDS)}.")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        import trimesh
    except ModuleNotFoundError as error:
        raise needs_extra("trimesh", "vision", "reading a mesh") from error
    try:
        found: Any = trimesh.load(path, process=False, maintain_order=True)
    except Exception as error:  # whatever a broken file makes the parsers raise
        raise UserError(f"{path} cannot be read as {path.suffix[1:].upper()} ({error}). Export it again.") from error
    found = found.to_geometry() if isinstance(found, trimesh.Scene) and found.geometry else found
    vertices = np.asarray(getattr(found, "vertices", np.zeros((0, 3))), np.float32).reshape(-1, 3)
    faces = np.asarray(getattr(found, "faces", ()), np.int32).reshape(-1, 3)
    checked(vertices, faces, str(path))
    visual: Any = getattr(found, "visual", None)
    uv = getattr(visual, "uv", None)
    if uv is None or len(uv) != len(vertices) or not np.isfinite(uv).all() or not np.ptp(uv, axis=0).all():
        return fitted(unwrapped(vertices, faces))
    return fitted(Mesh(vertices, faces, np.asarray(uv, np.float32), _texture(visual)))


def _texture(visual: Any) -> np.ndarray | None:
    """The picture that a file paints its surface with."""
    material = getattr(visual, "material", None)
    picture = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    return None if picture is None else np.asarray(picture.convert("RGB"), np.float32) / 255


def unwrapped(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Mesh:
    """The same surface with texture coordinates by xatlas; vertices are split where charts meet.

    Raises:
        UserError: `xatlas` is missing.
    """
    try:
        xatlas: Any = import_module("xatlas")  # an extension without types
    except ModuleNotFoundError as error:
        raise needs_extra("xatlas", "vision", "a mesh without texture coordinates") from error
    source, corners, uv = xatlas.parametrize(vertices, faces.astype(np.uint32))
    return Mesh(vertices[source], corners.astype(np.int32), uv.astype(np.float32))


def normals(mesh: Mesh) -> Float[np.ndarray, "V 3"]:
    """Unit normals, averaged by area over the faces that meet in a point, across seams too."""
    points, welded = weld(mesh)
    a, b, c = points[welded[mesh.faces]].transpose(1, 0, 2)
    cross = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for corner in range(3):
        np.add.at(total, welded[mesh.faces[:, corner]], cross)
    unit = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return unit[welded].astype(np.float32)


def weld(mesh: Mesh) -> tuple[Float[np.ndarray, "P 3"], Int[np.ndarray, " V"]]:
    """The points of the surface, each once, and which of them every vertex is."""
    cells = np.round(mesh.vertices / WELD).astype(np.int64)
    _, first, index = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    return mesh.vertices[first], index.reshape(-1).astype(np.int64)


class Edges(NamedTuple):
    """Edges of the surface that two faces share, as corners of each: `sides[e, s]` are the vertices of face s.

    They stand as start, end and the corner opposite; start and end are the same points on both sides.
    """

    sides: Int[np.ndarray, "E 2 3"]
    seam: Any
    """Bool [E]: the two faces look up different places of the texture there."""


def edges(mesh: Mesh) -> Edges:
    """Every edge that exactly two faces share, in a fixed order."""
    _, welded = weld(mesh)
    corners = np.concatenate([mesh.faces[:, [i, (i + 1) % 3, (i + 2) % 3]] for i in range(3)])
    ends = welded[corners[:, :2]]
    swap = ends[:, 0] > ends[:, 1]
    corners[swap, :2] = corners[swap, 1::-1]
    ends = np.sort(ends, axis=1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    _, first, count = np.unique(ends[order], axis=0, return_index=True, return_counts=True)
    pairs = first[count == 2]
    sides = np.stack([corners[order[pairs]], corners[order[pairs + 1]]], 1)
    apart = mesh.uv[sides[:, 0, :2]] - mesh.uv[sides[:, 1, :2]]
    apart = np.abs(apart - np.round(apart)).max((1, 2))  # textures wrap
    return Edges(sides, apart > 1e-4)


def save_glb(path: Path, mesh: Mesh, png: bytes) -> None:
    """Write the mesh with a PNG as its texture as binary glTF 2.0, unlit nowhere and matt."""
    flipped = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], 1)
    arrays = [mesh.vertices, normals(mesh), flipped, mesh.faces.reshape(-1).astype("<u4")]
    parts = [np.ascontiguousarray(a, dtype=a.dtype if a.dtype == "<u4" else "<f4").tobytes() for a in arrays] + [png]
    views, start = [], 0
    for part in parts:
        views.append({"buffer": 0, "byteOffset": start, "byteLength": len(part)})
        start += len(part) + -len(part) % 4
    body = b"".join(part + b"\0" * (-len(part) % 4) for part in parts)
    header = json.dumps(_gltf(mesh, views, len(body))).encode()
    header += b" " * (-len(header) % 4)
    chunks = struct.pack("<I4s", len(header), b"JSON") + header + struct.pack("<I4s", len(body), b"BIN\0") + body
    write_bytes(path, struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _gltf(mesh: Mesh, views: list[dict[str, int]], size: int) -> dict[str, Any]:
    count, float32, uint32 = len(mesh.vertices), 5126, 5125
    span = {"min": mesh.vertices.min(0).tolist(), "max": mesh.vertices.max(0).tolist()}
    accessors = [
        {"bufferView": 0, "componentType": float32, "count": count, "type": "VEC3", **span},
        {"bufferView": 1, "componentType": float32, "count": count, "type": "VEC3"},
        {"bufferView": 2, "componentType": float32, "count": count, "type": "VEC2"},
        {"bufferView": 3, "componentType": uint32, "count": mesh.faces.size, "type": "SCALAR"},
    ]
    matt = {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0}
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
    return {
        "asset": {"version": "2.0", "generator": "theodolite"}, "scene": 0, "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}], "accessors": accessors,
        "materials": [{"pbrMetallicRoughness": matt, "doubleSided": True}], "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"wrapS": 10497, "wrapT": 10497}], "images": [{"bufferView": 4, "mimeType": "image/png"}],
        "bufferViews": views, "buffers": [{"byteLength": size}],
    }  # fmt: skip
