"""PreQN on worlds whose optimal values are known: what diverges, what a step does off its batch, what foretells it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.control import actor_critic, ntk, preconditioning
from theodolite.control.preconditioning import Rules
from theodolite.core import nets, oracle
from theodolite.core.arrays import PRNGKey
from theodolite.core.claim import Row, row
from theodolite.core.oracle import Oracle
from theodolite.envs import oracles

WORLDS: dict[str, Callable[[], Oracle]] = {
    "cliffwalk": oracles.cliffwalk, "grid": partial(oracles.grid, 8), "graph": partial(oracles.sparsegraph, 100),
    "pendulum": partial(oracles.pendulum, 10, 3),
}  # fmt: skip
"""Of 52 to 320 pairs: a batch may be the whole table. A mountain car of so few cells has none that pays."""
BLOWN = 10.0
"""Times the largest optimal value: diverged."""
ETA, GRID, DAMPING = 0.97, (1.0, 0.5, 10), 1e-5
HIDDEN = (64, 64)
KERNEL_STEPS = 10
"""Plain steps that cost about as much as one with a kernel."""
BATCHES = (8, 32, 128, 0)
"""0 is the whole table."""
DAMPINGS = {"λ = 1e-5": 1e-5, "λ = 0.01": 0.01, "λ = 1": 1.0, "semi-gradient": 0.0}
SWEEP_RATE, ASIDE = 0.5, 64
BRIEF: Any = {"xla_backend_optimization_level": 1, "xla_cpu_use_fusion_emitters": False}
"""Compiler options of many programs that run for seconds: half the time to compile them."""


@dataclass(frozen=True)
class Table:
    """A world as a list of its pairs, with what reads them."""

    world: Oracle
    obs: Float[Array, "N O"]
    action: Array
    best: Float[Array, " N"]

    @property
    def top(self) -> Float[Array, ""]:
        """The largest optimal value in size."""
        return jnp.max(jnp.abs(self.best))

    def error(self, q: Float[Array, " N"]) -> Float[Array, " N"]:
        """TQ - Q of every pair."""
        return oracle.backup(self.world, q.reshape(self.world.reward.shape), 0.0).ravel() - q

    def values(self, net: nets.MLP) -> Float[Array, " N"]:
        """Q of every pair."""
        return net(self.world.obs).ravel()

    def off(self, q: Float[Array, " N"]) -> Float[Array, ""]:
        """The largest error to Q* over reachable states, as a share of the largest Q*."""
        seen = jnp.repeat(self.world.reachable, self.world.num_actions)
        return jnp.max(jnp.where(seen, jnp.abs(q - self.best), 0)) / self.top


@lru_cache
def table(name: str) -> Table:
    """A world by name; observations scaled to unit spread."""
    o = WORLDS[name]()
    obs = (o.obs - o.obs.mean(0)[None]) / jnp.maximum(o.obs.std(0), 1e-6)[None]
    o = Oracle(o.mdp, o.reward, obs, o.reachable, o.horizon, o.name)
    action = jnp.tile(jnp.arange(o.num_actions), o.num_states)
    return Table(o, jnp.repeat(obs, o.num_actions, 0), action, oracle.optimal(o, 0.0).ravel())


def network(t: Table, key: PRNGKey, hidden: tuple[int, ...] = HIDDEN, activation: nets.Activation = "sin") -> nets.MLP:
    """A fresh one for a world."""
    return actor_critic.network(key, (t.obs.shape[1], *hidden, t.world.num_actions), activation)


Move = Callable[[nets.MLP], tuple[nets.MLP, Array]]
"""A step, and whether it was skipped."""


def plain(t: Table, share: float, net: nets.MLP) -> Move:
    """Semi-gradient steps on the whole table, at a share of the rate beyond which plain regression would oscillate."""
    largest = jnp.linalg.eigvalsh(ntk.kernel(net, t.obs, t.action))[-1]

    def move(net: nets.MLP) -> tuple[nets.MLP, Array]:
        error = t.error(t.values(net))
        slope = jax.grad(lambda n: t.values(n) @ jax.lax.stop_gradient(error))(net)
        return jax.tree.map(lambda x, g: x + share / largest * g, net, slope), jnp.bool_(False)

    return move


def preconditioned(t: Table, search: bool, net: nets.MLP) -> Move:
    """PreQN's steps on the whole table."""
    rates = preconditioning.grid(*GRID) if search else jnp.ones(1)
    rules = Rules("cholesky", DAMPING, 0.0, rates, ETA if search else -2.0)

    def move(net: nets.MLP) -> tuple[nets.MLP, Array]:
        x = ntk.parts(net, t.obs, t.action)
        taken = preconditioning.step(net, x, t.obs, t.action, t.error(x.q), rules)
        return taken.net, taken.skipped

    return move


RULES: dict[str, Callable[[Table, nets.MLP], Move]] = {
    "SGD, small steps": lambda t, net: plain(t, 0.1, net), "SGD, large steps": lambda t, net: plain(t, 1.0, net),
    "PreQN": lambda t, net: preconditioned(t, True, net),
    "PreQN, no line search": lambda t, net: preconditioned(t, False, net),
}  # fmt: skip


def iterate(t: Table, net: nets.MLP, move: Move, steps: int) -> tuple[Array, Array, Array]:
    """The error to Q* after every step, whether values ever left all that is possible, and the share of skipped steps.

    Steps after the values have gone count as taken.
    """

    def one(carry: tuple, _: None) -> tuple[tuple, tuple]:
        net, gone = carry
        moved, skipped = move(net)
        q = t.values(moved)
        gone = gone | ~(jnp.max(jnp.abs(q)) <= BLOWN * t.top)  # NaN is gone, too
        net = jax.tree.map(lambda old, new: jnp.where(gone, old, new), net, moved)
        return (net, gone), (jnp.where(gone, BLOWN, jnp.minimum(t.off(q), BLOWN)), skipped & ~gone)

    (_, gone), (off, skipped) = jax.lax.scan(one, (net, jnp.bool_(False)), None, length=steps)
    return off, gone, jnp.mean(skipped.astype(off.dtype))


def seed_keys(seeds: tuple[int, ...], purpose: int) -> Array:
    """A key per seed."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(purpose), jnp.array(seeds))


def full_batch(world: str, seeds: tuple[int, ...], steps: int) -> list[Row]:
    """Every rule on one world; steps without a kernel are cheaper, and as many more are made."""
    t, rows = table(world), []
    for arm, rule in RULES.items():
        count = steps if "PreQN" in arm else steps * KERNEL_STEPS

        def one(key: PRNGKey, rule: Any = rule, count: int = count) -> tuple[Array, ...]:
            net = network(t, key)
            return iterate(t, net, rule(t, net), count)

        run = jax.jit(partial(jax.lax.map, one), compiler_options=BRIEF)
        off, gone, skipped = (np.asarray(x) for x in run(seed_keys(seeds, 1903)))
        at = np.linspace(0, count - 1, 20).astype(int)
        rows += [
            row(arm, world, seed, {"error": ((at + 1) * steps / count, off[i, at])}, diverged=gone[i],
                log_error=np.log10(off[i, -1]), skipped=skipped[i])
            for i, seed in enumerate(seeds)
        ]  # fmt: skip
    return rows


def swept(t: Table, size: int, damping: Array, key: PRNGKey, steps: int) -> tuple[Array, ...]:
    """Steps at a fixed rate on minibatches: final error, divergence, and means of alignment and spill off the batch."""
    num = t.action.size
    rules = Rules("cholesky", damping, 0.0, jnp.full(1, SWEEP_RATE), -2.0)

    def one(carry: tuple, key: PRNGKey) -> tuple[tuple, tuple]:
        net, gone = carry
        order = jax.random.permutation(key, num)
        inside, aside = order[:size], order[-ASIDE:] if size + ASIDE <= num else order[:ASIDE]
        q = t.values(net)
        error = t.error(q)
        x = ntk.parts(net, t.obs[inside], t.action[inside])
        taken = preconditioning.step(net, x, t.obs[inside], t.action[inside], error[inside], rules)
        moved = t.values(taken.net)
        change = moved - q
        rms = lambda v: jnp.sqrt(jnp.mean(v**2))  # noqa: E731
        seen = (
            preconditioning.cosine(change[aside], error[aside]),
            rms(change[aside]) / jnp.maximum(rms(taken.change), 1e-20),
        )
        gone = gone | ~(jnp.max(jnp.abs(moved)) <= BLOWN * t.top)
        net = jax.tree.map(lambda old, new: jnp.where(gone, old, new), net, taken.net)
        return (net, gone), (*seen, 1 - gone.astype(q.dtype))

    net_key, key = jax.random.split(key)
    (net, gone), (cosines, spills, weight) = jax.lax.scan(
        one, (network(t, net_key), jnp.bool_(False)), jax.random.split(key, steps)
    )
    mean = lambda v: jnp.sum(jnp.where(weight > 0, v, 0)) / jnp.maximum(jnp.sum(weight), 1)  # noqa: E731
    return jnp.where(gone, BLOWN, jnp.minimum(t.off(t.values(net)), BLOWN)), gone, mean(cosines), mean(spills)


def off_batch(world: str, seeds: tuple[int, ...], steps: int, batches: tuple[int, ...]) -> list[Row]:
    """Batches from a few pairs to the whole table, damping from none to the semi-gradient."""
    t, rows, keys = table(world), [], seed_keys(seeds, 1908)
    for batch in batches:
        size = t.action.size if batch == 0 else min(batch, t.action.size)

        def run(damping: Array, keys: Array, size: int = size) -> tuple[Array, ...]:
            return jax.lax.map(lambda key: swept(t, size, damping, key, steps), keys)

        program = jax.jit(run, compiler_options=BRIEF)
        for arm, damping in DAMPINGS.items():
            found = [np.asarray(x) for x in program(jnp.float32(damping or size), keys)]
            rows += [
                row(arm, f"{world}/{batch or 'all'}", seed, log_error=np.log10(off), diverged=gone,
                    held_out_alignment=cosine, spill=spill)
                for seed, off, gone, cosine, spill in zip(seeds, *found, strict=True)
            ]  # fmt: skip
    return rows


Shape = tuple[nets.Activation, int, int]
"""Activation, width, depth."""
ARCHITECTURES: tuple[Shape, ...] = tuple(
    (a, w, d) for a in ("relu", "tanh", "sin") for w in (16, 64) for d in (1, 2, 3)
)


def named(shape: tuple[str, int, int]) -> str:
    """The arm of a shape, "relu 64 2"."""
    return " ".join(map(str, shape))


def shares(architectures: tuple[Shape, ...], gone: np.ndarray) -> dict[str, float]:
    """The share of shapes that diverge: of all, by activation, by width and by depth."""
    groups = {"all shapes": np.ones(len(gone), bool)}
    for axis, label in enumerate(("{}", "width {}", "depth {}")):
        for value in dict.fromkeys(shape[axis] for shape in architectures):
            groups[label.format(value)] = np.array([shape[axis] == value for shape in architectures])
    return {name: float(gone[inside].mean()) for name, inside in groups.items()}


def foretold(world: str, seeds: tuple[int, ...], steps: int, architectures: tuple[Shape, ...]) -> list[Row]:
    """Plain steps by networks of many shapes: does the kernel before the first step tell which diverge?"""
    t, found = table(world), []
    for activation, width, depth in architectures:
        net_of = partial(network, t, hidden=(width,) * depth, activation=activation)
        one = partial(_foretell, t, net_of, steps)
        run = jax.jit(partial(jax.lax.map, one), compiler_options=BRIEF)
        found.append([np.asarray(x) for x in run(seed_keys(seeds, 1907))])
    rows = []
    for i, seed in enumerate(seeds):
        beta, ratio, gone = (np.array([f[k][i] for f in found]) for k in range(3))
        rows += [row(named(shape), world, seed, diverged=g) for shape, g in zip(architectures, gone, strict=True)]
        rows += [row(arm, world, seed, share_diverged=share) for arm, share in shares(architectures, gone).items()]
        if 0 < gone.sum() < len(gone):
            rows += [row(arm, world, seed, auc=auc(x, gone)) for arm, x in (("β", beta), ("row ratio", ratio))]
    return rows


def _foretell(t: Table, net_of: Callable, steps: int, key: PRNGKey) -> tuple[Array, Array, Array]:
    net = net_of(key)
    k = ntk.kernel(net, t.obs, t.action)
    num, rate = k.shape[0], 1 / jnp.linalg.eigvalsh(k)[-1]
    beta = ntk.modulus(k, jnp.full(num, 1 / num), rate * num, t.world.mdp.discount)
    return beta, jnp.mean(ntk.row_ratios(k)), iterate(t, net, plain(t, 1.0, net), steps)[1]


def auc(score: np.ndarray, event: np.ndarray) -> float:
    """Chance that an event's score is above that of none, ties counted half."""
    yes, no = score[event][:, None], score[~event][None]
    return float(np.mean((yes > no) + 0.5 * (yes == no)))
