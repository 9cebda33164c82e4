"""Where the theory of PreQN is exact: moduli of linear operators, counter-examples, kernels of fresh networks."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from theodolite.control import counterexamples, ntk
from theodolite.control.actor_critic import network
from theodolite.core import nets
from theodolite.core.arrays import PRNGKey
from theodolite.core.claim import Row, row
from theodolite.core.env import Box, JaxEnvs
from theodolite.envs import registry

BANDS = {"β < 1": (0.0, 1.0), "1 to 2": (1.0, 2.0), "2 to 10": (2.0, 10.0), "above 10": (10.0, np.inf)}
STATES, ACTIONS, BRANCHES = 20, 3, 4
DISCOUNTS = (0.5, 0.9, 0.99)
BLOWN = 1e6
"""Times the largest value that any policy has: where an iteration counts as diverged."""
WORLDS = {
    "Baird's star": counterexamples.baird, "two states": counterexamples.two_states,
    "two states, told apart": partial(counterexamples.two_states, spare=True),
}  # fmt: skip
RATE, EVALUATIONS, CEILING = 0.1, 20_000, 1e12
ETA = 0.97
ACTIVATIONS, WIDTHS, DEPTHS = ("relu", "tanh", "sin"), (32, 64, 128, 256), (1, 2, 3, 4)
PAIRS = 512


class Draw(NamedTuple):
    """A random world with a kernel, data and a step size; pairs (s, a) are numbered s A + a."""

    reward: Float[Array, " N"]
    transition: Float[Array, "N S"]
    discount: Float[Array, ""]
    kernel: Float[Array, "N N"]
    rho: Float[Array, " N"]
    rate: Float[Array, ""]


def draw(kind: str, key: PRNGKey) -> Draw:
    """One draw; `kind` is "linear", features between a table's and random ones, or "network", of one hidden layer."""
    keys = jax.random.split(key, 8)
    num = STATES * ACTIONS
    odds = jax.random.exponential(keys[0], (num, STATES))
    likely = odds >= jax.lax.top_k(odds, BRANCHES)[0][:, -1:]
    transition = jnp.where(likely, odds, 0)
    transition = transition / jnp.sum(transition, 1, keepdims=True)
    reward, discount = jax.random.normal(keys[1], (num,)), jax.random.choice(keys[2], jnp.array(DISCOUNTS))
    even = jax.random.uniform(keys[3])
    shares = jax.random.exponential(keys[4], (num,))
    rho = even / num + (1 - even) * shares / jnp.sum(shares)
    kernel = linear_kernel(keys[5], num) if kind == "linear" else network_kernel(keys[5])
    reach = 10 ** jax.random.uniform(keys[6], minval=-1.0, maxval=0.5)
    return Draw(reward, transition, discount, kernel, rho, reach / jnp.max(jnp.diagonal(kernel) * rho))


def linear_kernel(key: PRNGKey, num: int) -> Float[Array, "N N"]:
    """ΦΦᵀ of rows that are a table's but for a random part, whose size is drawn from 1e-4 to 1."""
    size_key, key = jax.random.split(key)
    mixed = 10 ** jax.random.uniform(size_key, minval=-4.0, maxval=0.0)
    features = (1 - mixed) * jnp.eye(num) + mixed * jax.random.normal(key, (num, num)) / num**0.5
    return features @ features.T


def network_kernel(key: PRNGKey) -> Float[Array, "N N"]:
    """That of a fresh network with one hidden layer of 64 sines, at random observations."""
    obs_key, key = jax.random.split(key)
    obs = jnp.repeat(jax.random.uniform(obs_key, (STATES, 4), minval=-1.0), ACTIONS, 0)
    net = network(key, (4, 64, ACTIONS), "sin")
    return ntk.kernel(net, obs, jnp.tile(jnp.arange(ACTIONS), STATES))


def diverges(d: Draw, steps: int) -> tuple[Array, Array]:
    """The modulus β, and whether U3 from Q = 0 leaves all values behind."""
    bound = jnp.max(jnp.abs(d.reward)) / (1 - d.discount)

    def once(_: Array, q: Array) -> Array:
        best = jnp.max(q.reshape(STATES, ACTIONS), 1)
        moved = ntk.step(q, d.reward + d.discount * d.transition @ best, d.kernel, d.rho, d.rate)
        return jnp.where(jnp.max(jnp.abs(q)) > BLOWN * bound, q, moved)

    last = jax.lax.fori_loop(0, steps, once, jnp.zeros_like(d.reward))
    return ntk.modulus(d.kernel, d.rho, d.rate, d.discount), jnp.max(jnp.abs(last)) > BLOWN * bound


def operators(kind: str, seeds: tuple[int, ...], draws: int, steps: int) -> list[Row]:
    """The share of draws that diverge, by band of β; a row per seed and band that has draws."""
    rows = []
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(lambda key: diverges(draw(kind, key), steps)))
        for seed in seeds:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(1903), seed), draws)
            beta, gone = (np.asarray(x) for x in run(keys))
            for band, (low, high) in BANDS.items():
                inside = (beta >= low) & (beta < high)
                if inside.any():
                    rows.append(row(band, kind, seed, diverged=gone[inside].mean(), draws=inside.sum()))
    return rows


def counterexample(case: str, seeds: tuple[int, ...]) -> list[Row]:
    """log10 of how much the largest error grew, for both steps and for the one that tests its alignment."""
    rows = []
    with jax.enable_x64(True):
        p = WORLDS[case]()

        def aligned(p: Any, theta: Array, rate: float) -> Array:
            right = counterexamples.alignment(p, theta) >= ETA
            return jnp.where(right, counterexamples.preconditioned(p, theta, rate), theta)

        rules = {"semi-gradient": counterexamples.semi_gradient, "preconditioned": counterexamples.preconditioned,
                 "preconditioned, aligned": aligned}  # fmt: skip
        for arm, rule in rules.items():
            run = jax.jit(partial(_growth, p, rule))
            for seed in seeds:
                found = run(jax.random.fold_in(jax.random.key(1995), seed))
                rows.append(row(arm, case, seed, growth=found))
    return rows


def _growth(p: counterexamples.Prediction, rule: Any, key: PRNGKey) -> Float[Array, ""]:
    first = jax.random.normal(key, (p.features.shape[1],))
    off = lambda theta: jnp.max(jnp.abs(p.features @ theta - p.values()))  # noqa: E731

    def once(_: Array, theta: Array) -> Array:
        return jnp.where(off(theta) > CEILING * off(first), theta, rule(p, theta, RATE))

    last = jax.lax.fori_loop(0, EVALUATIONS, once, first)
    return jnp.log10(jnp.maximum(off(last) / off(first), 1 / CEILING))


def pairs(env: str, key: PRNGKey) -> Float[Array, "N I"]:
    """Observations and actions of the uniform policy, as the environment has them."""
    envs: Any = registry.make(env, num_envs=16)
    box = envs.space.action
    assert isinstance(box, Box)
    low, high = (np.broadcast_to(np.asarray(b, np.float32), box.shape) for b in (box.low, box.high))
    steps = 200
    act_key, env_key = jax.random.split(key)
    actions = jax.random.uniform(act_key, (steps, 16, *box.shape), minval=low, maxval=high)
    seen = _walk(envs, env_key, actions)
    x = np.concatenate([np.asarray(a).reshape(steps * 16, -1) for a in (seen, actions)], 1)
    chosen = np.random.default_rng(int(jax.random.bits(key))).choice(len(x), PAIRS, replace=False)
    return jnp.asarray(x[chosen])


def _walk(envs: Any, key: PRNGKey, actions: Array) -> Any:
    """The observations on which actions were taken, on our environments or on the host's. [T, E, O]"""
    if not isinstance(envs, JaxEnvs):
        obs, rows = envs.reset(int(jax.random.bits(key) >> 1)), []
        for action in np.asarray(actions):
            rows.append(obs)
            obs = envs.step(action).obs
        return np.stack(rows)
    keys = jax.random.split(key, envs.num_envs)

    def one(now: tuple, step: tuple) -> tuple[tuple, Array]:
        state, out = jax.vmap(envs.env.step)(jax.random.split(step[0], envs.num_envs), now[0], step[1])
        return (state, out.obs), now[1]

    start = jax.vmap(envs.env.reset)(keys)
    return jax.lax.scan(one, start, (jax.random.split(keys[0], len(actions)), actions))[1]


def scan(env: str, seeds: tuple[int, ...], widths: tuple[int, ...], depths: tuple[int, ...]) -> list[Row]:
    """Mean diagonal and row ratio of the kernel of every fresh architecture, and slopes over width and depth."""
    rows = []
    for seed in seeds:
        key = jax.random.fold_in(jax.random.key(1806), seed)
        x = pairs(env, key)
        table = {
            (a, w, d): _described(network(key, (x.shape[1], *[w] * d, 1), a), x)
            for a in ACTIVATIONS for w in widths for d in depths
        }  # fmt: skip
        for activation in ACTIVATIONS:
            own = np.array([[table[activation, w, d] for d in depths] for w in widths])
            for i, w in enumerate(widths):
                for j, d in enumerate(depths):
                    rows.append(row(f"{activation} {w} {d}", env, seed, log_diagonal=own[i, j, 0], ratio=own[i, j, 1]))
            across: dict[str, Any] = {
                f"{axis}_{what}": slope(own[..., k], n)
                for n, axis in enumerate(("width", "depth"))
                for k, what in enumerate(("diagonal", "ratio"))
            }
            mean = own.mean((0, 1))
            rows.append(row(activation, env, seed, mean_log_diagonal=mean[0], mean_ratio=mean[1], **across))
    return rows


def slope(table: np.ndarray, axis: int) -> float:
    """Mean change per doubling of width, or per layer, by least squares."""
    along = np.arange(table.shape[axis]) - (table.shape[axis] - 1) / 2
    return float((table.mean(1 - axis) * along).sum() / (along**2).sum())


@jax.jit
def _described(net: nets.MLP, x: Float[Array, "N I"]) -> Array:
    k = ntk.kernel(net, x)
    return jnp.stack([jnp.log10(jnp.mean(jnp.diagonal(k))), jnp.mean(ntk.row_ratios(k))])
