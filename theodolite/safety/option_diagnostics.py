"""What options are used for, exactly, from the expected steps n(s,ω) that each has in every state of a finite world.

    H(ω) = -Σ_ω p(ω) log p(ω),                p(s,ω) = n(s,ω) / Σ n       usage: 0 where one option does everything
    I(ω; room) = Σ p(ω,room) log p(ω,room) / (p(ω) p(room))               0 where options do not depend on the place
    e(s) = Σ_ω p(ω|s) β(s,ω)                                              the map of endings

Nats throughout. A doorway, a cell between two walls, belongs to no room.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from theodolite.envs.rooms import MOVES, World


def usage_entropy(usage: Float[Array, "S W"]) -> Float[Array, ""]:
    """H(ω)."""
    return jnp.sum(jax.scipy.special.entr(usage.sum(0) / usage.sum()))


def room_information(usage: Float[Array, "S W"], rooms: Int[np.ndarray, " S"]) -> Float[Array, ""]:
    """I(ω; room), of the steps inside rooms; `rooms` is -1 in doorways."""
    labels = np.unique(rooms[rooms >= 0])
    inside = jnp.asarray((rooms[None] == labels[:, None]).astype(np.float32)) @ usage
    joint = inside / jnp.maximum(inside.sum(), 1e-12)
    entropies = [jnp.sum(jax.scipy.special.entr(p)) for p in (joint.sum(0), joint.sum(1), joint)]
    return entropies[0] + entropies[1] - entropies[2]


def ending_map(usage: Float[Array, "S W"], ending: Float[Array, "S W"]) -> Float[Array, " S"]:
    """e(s); where no step is expected, options count alike."""
    total = usage.sum(-1, keepdims=True)
    share = jnp.where(total > 0, usage / jnp.where(total > 0, total, 1), 1 / usage.shape[-1])
    return jnp.sum(share * ending, axis=-1)


def ending_rate(usage: Float[Array, "S W"], ending: Float[Array, "S W"]) -> Float[Array, ""]:
    """The mean of β over the steps of an episode."""
    return jnp.sum(usage * ending) / usage.sum()


def rooms_of(world: World) -> Int[np.ndarray, " S"]:
    """Which room every cell belongs to, -1 for doorways: what is connected without passing one."""
    places = [(int(r), int(c)) for r, c in np.asarray(world.cells)]
    free, number = set(places), dict.fromkeys(places, -1)
    doors = {(r, c) for r, c in free if _between((r, c), free)}
    count = 0
    for place in places:
        if place in doors or number[place] >= 0:
            continue
        edge = [place]
        while edge:
            r, c = edge.pop()
            number[r, c] = count
            around = [(r + dr, c + dc) for dr, dc in MOVES]
            edge += [p for p in around if p in free and p not in doors and number[p] < 0]
        count += 1
    return np.array([number[p] for p in places], np.int32)


def _between(place: tuple[int, int], free: set[tuple[int, int]]) -> bool:
    """Walls on both sides along one axis, and none along the other."""
    r, c = place
    down, across = ((r - 1, c) in free, (r + 1, c) in free), ((r, c - 1) in free, (r, c + 1) in free)
    return (all(down) and not any(across)) or (all(across) and not any(down))
