"""Features that many values are linear in, and how much of a value they leave out.

    AVF       V_δ = V^π,  π = argmax_π Σ_s δ(s) V^π(s)                δ of any signs: extreme points of the set {V^π}
    features  φ, w ← argmin Σ_k Σ_s (w_k · φ(s) - V_k(s))²            φ a network, w one row per target k
    left out  min_w,b Σ_s (w · φ(s) + b - V(s))² / Σ_s (V(s) - mean V)²     of a V that was no target

A representation that is best in the worst case over policies need only fit the adversarial value functions (AVFs,
Bellemare et al. 2019, theorem 1). Where δ has signs its policy
solves no MDP, but a switch is judged exactly: with x = (I - γ P_π)⁻ᵀ δ, another action a in one state s changes δᵀV by
x'(s) A(s, a), where x'(s) has the sign of x(s).

Differences from the paper: 1. AVFs by these switches, which end at a deterministic policy that no single one improves,
in the place of gradient ascent on a softmax; 2. what is left out is relative, beside a constant.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import lu_factor, lu_solve
from jaxtyping import Array, Bool, Float, Int

from theodolite.core import nets, optim, tabular
from theodolite.core.arrays import PRNGKey, Scalar
from theodolite.core.claim import Paper
from theodolite.core.tabular import MDP

PAPER = Paper(
    "A Geometric Perspective on Optimal Representations for Reinforcement Learning", "Bellemare et al.", 2019,
    arxiv="1901.11530",
)  # fmt: skip


class Search(NamedTuple):
    """A deterministic policy, its value, the visits x that δ weighs it by, and its worth δᵀV."""

    action: Int[Array, " S"]
    value: Float[Array, " S"]
    visits: Float[Array, " S"]
    worth: Float[Array, ""]


def adversarial(
    mdp: MDP, reward: Float[Array, "S A"], direction: Float[Array, " S"], sweeps: int = 200
) -> Float[Array, " S"]:
    """The value of a policy that is extreme in a direction: no single switch improves δᵀV. [S]"""
    every = jnp.arange(reward.shape[0])

    def judged(action: Array) -> Search:
        system = jnp.eye(len(every), dtype=reward.dtype) - mdp.discount * mdp.transition[every, action]
        factors = lu_factor(system)
        value = lu_solve(factors, reward[every, action])
        return Search(action, value, lu_solve(factors, direction, trans=1), direction @ value)

    def sweep(carry: tuple[Search, Array, Array]) -> tuple[Search, Array, Array]:
        s, _, count = carry
        gain = s.visits[:, None] * (tabular.backup(mdp, reward, s.value) - s.value[:, None])
        best, most = jnp.argmax(gain, -1), gain.max(-1)
        small = 1e-5 * (1 + jnp.abs(s.worth))
        bold = judged(jnp.where(most > small, best, s.action))
        once = partial(judged, jnp.where(every == jnp.argmax(most), best, s.action))
        new = jax.lax.cond(bold.worth > s.worth + small, lambda: bold, once)  # all at once need not improve, one does
        moved = (most.max() > small) & (new.worth > s.worth + small)
        return jax.tree.map(lambda x, y: jnp.where(moved, x, y), new, s), moved, count + 1

    start = judged(jnp.argmax(direction[:, None] * reward, -1)), jnp.bool_(True), jnp.int32(0)
    return jax.lax.while_loop(lambda c: c[1] & (c[2] < sweeps), sweep, start)[0].value


def directions(key: PRNGKey, count: int, states: int) -> Float[Array, "K S"]:
    """Directions uniform in [-1, 1]ⁿ, as in the paper. [K, S]"""
    return jax.random.uniform(key, (count, states), minval=-1.0)


def adversarial_values(mdp: MDP, reward: Float[Array, "S A"], key: PRNGKey, count: int) -> Float[Array, "K S"]:
    """AVFs in random directions. [K, S]"""
    return jax.lax.map(partial(adversarial, mdp, reward), directions(key, count, reward.shape[0]))


def random_values(mdp: MDP, reward: Float[Array, "S A"], key: PRNGKey, count: int) -> Float[Array, "K S"]:
    """Values of deterministic policies whose every action is drawn. [K, S]"""
    states, actions = reward.shape
    drawn = jax.nn.one_hot(jax.random.randint(key, (count, states), 0, actions), actions, dtype=reward.dtype)
    return jax.lax.map(lambda policy: tabular.evaluate(mdp, policy, reward), drawn)


def discounted_values(mdp: MDP, reward: Float[Array, "S A"], discounts: Float[Array, " K"]) -> Float[Array, "K S"]:
    """The optimal policy's values under several discounts. [K, S]"""
    policy = tabular.optimal_policy(mdp, reward)
    return jax.lax.map(lambda g: tabular.evaluate(MDP(mdp.transition, mdp.initial, g), policy, reward), discounts)


def return_quantiles(
    mdp: MDP, reward: Float[Array, "S A"], policy: Float[Array, "S A"], levels: Float[Array, " K"], atoms: int = 201,
    sweeps: int = 1_000,
) -> Float[Array, "K S"]:  # fmt: skip
    """Quantiles of a policy's return in every state, by dynamic programming on a grid of returns. [K, S]

    For rewards ≥ 0 in a world without chance, where no return exceeds the largest optimal value.
    """
    z = jnp.linspace(0, tabular.optimal_value(mdp, reward).max(), atoms, dtype=reward.dtype)
    spacing = z[1] - z[0]
    moved = jnp.clip(reward[..., None] + mdp.discount * z[None, None], z[0], z[-1])
    onto = jnp.clip(1 - jnp.abs(moved[..., None, :] - z[None, None, :, None]) / spacing, 0, 1)  # [S, A, to, from]

    def backup(_: Array, mass: Float[Array, "S J"]) -> Float[Array, "S J"]:
        following = jnp.einsum("sat,tj->saj", mdp.transition, mass)
        return jnp.einsum("sa,saij,saj->si", policy, onto, following)

    start = jnp.zeros((reward.shape[0], atoms), reward.dtype).at[:, 0].set(1)
    cdf = jnp.cumsum(jax.lax.fori_loop(0, sweeps, backup, start), -1)
    return z[jnp.argmax(cdf[None] >= levels[:, None, None] - 1e-6, -1)]


def proto_values(mdp: MDP, count: int) -> Float[Array, "S K"]:
    """The smoothest eigenvectors of the graph Laplacian of the uniform policy's moves: proto-value functions. [S, K]"""
    p = tabular.policy_transition(mdp, tabular.uniform_policy(mdp))
    ties = (p + p.T) / 2 * (1 - jnp.eye(len(p), dtype=p.dtype))
    _, vectors = jnp.linalg.eigh(jnp.diag(ties.sum(1)) - ties)
    return vectors[:, :count]


def fit(
    values: Float[Array, "K S"], width: int, key: PRNGKey, *, hidden: int = 128, steps: int = 2_000,
    learning_rate: Scalar = 1e-3,
) -> Float[Array, "S d"]:  # fmt: skip
    """Features of every state, learned such that the standardised values are linear in them. [S, d]"""
    centred = values - values.mean(1, keepdims=True)
    wanted = (centred / (jnp.sqrt((centred**2).mean(1, keepdims=True)) + 1e-8)).T
    k_net, k_head = jax.random.split(key)
    draw = nets.glorot(1.0)
    states = values.shape[1]
    net = nets.mlp(k_net, (states, hidden, hidden, width), hidden=draw, head=draw, activation=jax.nn.relu)
    head = nets.Linear(draw(k_head, (width, wanted.shape[1])), jnp.zeros(wanted.shape[1]))
    optimiser = optim.adam(learning_rate)
    inputs = jnp.eye(states)

    def loss(params: tuple[nets.MLP, nets.Linear]) -> Scalar:
        return ((params[1](params[0](inputs)) - wanted) ** 2).mean()

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        params, opt = carry
        return optim.apply(optimiser, jax.grad(loss)(params), opt, params), None

    params = net, head
    (params, _), _ = jax.lax.scan(step, (params, optimiser.init(params)), length=steps)
    return params[0](inputs)


def left_out(features: Float[Array, "S d"], values: Float[Array, "K S"]) -> Float[Array, " K"]:
    """The share of every value's variance over states that is not linear in the features. [K]"""
    columns = features - features.mean(0, keepdims=True)
    basis, sizes, _ = jnp.linalg.svd(columns, full_matrices=False)
    kept = jnp.where((sizes > 1e-5 * sizes[0])[None], basis, 0)  # directions of rounding carry nothing
    centred = values - values.mean(1, keepdims=True)
    missed = centred - (centred @ kept) @ kept.T
    return (missed**2).sum(1) / jnp.maximum((centred**2).sum(1), 1e-30)


def epsilon_greedy(value: Float[Array, " A"], draw: Float[Array, " A+1"], epsilon: Scalar) -> Int[Array, ""]:
    """One of the best actions, or with probability ε any: the first uniform number says which, the rest part ties."""
    any_action = jnp.minimum(jnp.floor(draw[0] / epsilon * value.size).astype(jnp.int32), value.size - 1)
    best = jnp.argmax(jnp.where(value >= value.max(), draw[1:], -1.0)).astype(jnp.int32)
    return jnp.where(draw[0] < epsilon, any_action, best)


def sarsa(
    mdp: MDP, reward: Float[Array, "S A"], terminal: Bool[Array, " S"], features: Float[Array, "S d"], key: PRNGKey, *,
    steps: int = 100_000, step_size: Scalar = 0.1, epsilon: Scalar = 0.1, horizon: int = 200, looks: int = 10,
) -> Float[Array, "looks S A"]:  # fmt: skip
    """Action values that SARSA(0) learns with frozen features and a constant, of mean square length 1 together.

    Episodes begin anew, from the initial distribution, in terminal states and at every `horizon` steps. What is known
    after every tenth of the steps (`looks`), since with features the greedy policy never settles. [looks, S, A]
    """
    seen = jnp.concatenate(
        [features - features.mean(0, keepdims=True), features.std() * jnp.ones_like(features[:, :1])], 1
    )
    seen = seen / jnp.sqrt((seen**2).sum(1).mean())
    ends, starts = jnp.cumsum(mdp.transition, -1), jnp.cumsum(mdp.initial)
    actions = reward.shape[1]

    def choose(w: Array, s: Array, draw: Array) -> Array:
        return epsilon_greedy(seen[s] @ w, draw, epsilon)

    def step(carry: tuple, row: tuple) -> tuple[tuple, None]:
        w, s, a = carry
        t, u = row
        follows = jnp.minimum(jnp.sum(u[0] >= ends[s, a], dtype=jnp.int32), reward.shape[0] - 1)
        chosen, over = choose(w, follows, u[2 : 3 + actions]), terminal[follows]
        following = jnp.where(over, 0, seen[follows] @ w[:, chosen])
        error = reward[s, a] + mdp.discount * following - seen[s] @ w[:, a]
        w = w.at[:, a].add(step_size * error * seen[s])
        anew = jnp.minimum(jnp.sum(u[1] >= starts, dtype=jnp.int32), reward.shape[0] - 1)
        over |= (t + 1) % horizon == 0
        return (w, jnp.where(over, anew, follows), jnp.where(over, choose(w, anew, u[3 + actions :]), chosen)), None

    def some(carry: tuple, rows: tuple) -> tuple[tuple, Array]:
        carry, _ = jax.lax.scan(step, carry, rows)
        return carry, seen @ carry[0]

    each = steps // looks
    draws = jax.random.uniform(key, (looks, each, 4 + 2 * actions), reward.dtype)
    start = jnp.zeros((seen.shape[1], actions), reward.dtype), jnp.int32(0), jnp.int32(0)
    return jax.lax.scan(some, start, (jnp.arange(looks * each).reshape(looks, each), draws))[1]
