"""The training loop is a generator over chunks of updates; logging, saving and stopping are the caller's `for`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from theodolite.core import compile_cache, replay
from theodolite.core.agent import Agent, Solver, State
from theodolite.core.arrays import Arrays, Metrics, PRNGKey
from theodolite.core.drive import (
    EPISODE_METRICS,
    RUNS_ONCE,
    Act,
    Carry,
    collect,
    collect_host,
    learn,
    no_episodes,
    start,
    start_host,
    step_keys,
)
from theodolite.core.env import Action, JaxEnvs, Obs, Space
from theodolite.core.errors import NotFinite
from theodolite.core.host import HostEnv
from theodolite.core.options import HostOptions, seen_space

C = TypeVar("C")


class Learnt(Arrays):
    """The carry of a method without an environment, and the part of every carry that a policy needs."""

    agent: State


class Chunk(Arrays):
    """What a training loop yields: updates done, metrics [S, every], and the carry, valid until the next chunk."""

    update: int
    held: Carry | Learnt
    """The carry as the loop holds it: without the axis of seeds where the run is `alone`."""
    metrics: Metrics
    alone: bool = eqx.field(static=True, default=False)
    """Whether it is a host environment's, which takes one seed."""

    @property
    def carry(self) -> Carry | Learnt:
        """The carry, every leaf [S, ...]: of a run alone a copy, which is made when it is asked for."""
        return jax.tree.map(lambda x: x[None], self.held) if self.alone else self.held


def run_keys(seed: int, seeds: int) -> Key[Array, " S"]:
    """One key per seed; the first ones stay the same when more are added. [S]"""
    return jax.vmap(partial(jax.random.fold_in, jax.random.key(seed)))(jnp.arange(seeds))


def train(
    make: Callable[[C], Agent],
    config: C,
    envs: JaxEnvs | HostEnv,
    *,
    updates: int,
    every: int = 10,
    seed: int = 0,
    seeds: int = 1,
    stacked: bool = False,
    resume: tuple[int, Carry] | None = None,
    first: bool = False,
) -> Iterator[Chunk]:
    """Train `make(config)` for `updates` updates, yielding after every `every` of them.

    `config` is any pytree (a Config, a tuple of them with demonstrations): its floats and arrays are traced, so new
    numbers do not recompile. With `stacked` every leaf of it has a leading axis S: one configuration per seed.
    `resume` is (updates done, carry), with the carry of a checkpoint: the same numbers follow as without the pause.
    On a JAX environment all seeds are one program and the result is the same bits; a host environment takes one seed,
    and after a resume its episodes start anew, from a seed that depends on the update alone.
    With `first` a new run also yields what it starts from: a chunk of no updates, without metrics.

    Raises:
        NotFinite: a metric or a parameter of the agent is NaN or infinite.
    """
    compile_cache.enable()
    if isinstance(envs, JaxEnvs):
        chunks = _train_jax(make, config, envs, updates, every, run_keys(seed, seeds), stacked, resume)
    else:
        chunks = _train_host(make, config, envs, updates, every, seed, resume)
    yield from _checked(chunks, first)


def _checked(chunks: Iterator[Chunk], first: bool) -> Iterator[Chunk]:
    for chunk in chunks:
        if chunk.update:
            check_finite(chunk)
        if chunk.update or first:
            yield chunk


def update_keys(key: PRNGKey, update: Array | int) -> tuple[PRNGKey, PRNGKey]:
    """The keys of collecting and of learning in an update, counted from 0; `fold_in(key, 0)` is the start's."""
    collect_key, learn_key = jax.random.split(jax.random.fold_in(key, update + 1))
    return collect_key, learn_key


def over_seeds(f: Callable, seeds: int, axes: tuple[int | None, ...]) -> Callable:
    """`f` for every seed in one program; arguments with axis 0 have a leading axis S, those with None are shared.

    All seeds at once on an accelerator. On a CPU one after the other, which takes three quarters of the time of `vmap`
    (batched products of small matrices are slow there) and the memory of one seed, and gives each the bits of a run
    of its own.
    """
    if seeds > 1 and jax.default_backend() != "cpu":
        return jax.vmap(f, axes)

    def every(*arguments: PyTree) -> PyTree:
        def one(own: list[PyTree]) -> PyTree:
            rest = iter(own)
            return f(*(a if axis is None else next(rest) for a, axis in zip(arguments, axes, strict=True)))

        own = [a for a, axis in zip(arguments, axes, strict=True) if axis is not None]
        if seeds > 1:
            return jax.lax.map(one, own)
        return jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], own)))  # no loop: smaller and faster

    return every


def _train_jax(make, config, envs, updates, every, keys, stacked, resume) -> Iterator[Chunk]:
    def begin(c: PyTree, key: PRNGKey) -> Carry:
        return start(make(c), envs, jax.random.fold_in(key, 0))

    def one(c: PyTree, carry: Carry, key: PRNGKey, update: Array) -> tuple[Carry, Metrics]:
        agent = make(c)
        collect_key, learn_key = update_keys(key, update)
        return learn(agent, *collect(agent, envs, carry, collect_key), learn_key)

    return _chunks(begin, one, config, updates, every, keys, stacked, resume)


def solve(
    make: Callable[[C], Solver],
    config: C,
    space: Space,
    *,
    updates: int,
    every: int = 10,
    seed: int = 0,
    seeds: int = 1,
    stacked: bool = False,
    resume: tuple[int, Learnt] | None = None,
    first: bool = False,
) -> Iterator[Chunk]:
    """The same for a method without an environment: `make(config).step` is called `updates` times.

    Raises:
        NotFinite: a metric or a parameter is NaN or infinite.
    """

    compile_cache.enable()

    def begin(c: PyTree, key: PRNGKey) -> Learnt:
        return Learnt(make(c).init(jax.random.fold_in(key, 0), space))

    def one(c: PyTree, carry: Learnt, key: PRNGKey, update: Array) -> tuple[Learnt, Metrics]:
        state, metrics = make(c).step(carry.agent, jax.random.fold_in(key, update + 1))
        return Learnt(state), metrics

    chunks = _chunks(begin, one, config, updates, every, run_keys(seed, seeds), stacked, resume)
    yield from _checked(chunks, first)


def _chunks(begin, one, config, updates, every, keys, stacked, resume) -> Iterator[Chunk]:
    """The number of updates in a chunk is traced: a shorter last one is the same program, and gives the same bits."""
    one = jax.jit(one)  # traced once, though its shapes are asked for before it runs in the loop

    def advance(c: PyTree, carry: PyTree, key: PRNGKey, done: Array, count: Array) -> tuple[PyTree, Metrics]:
        def following(i: Array, state: tuple[PyTree, Metrics]) -> tuple[PyTree, Metrics]:
            carry, metrics = one(c, state[0], key, done + i)
            return carry, jax.tree.map(lambda rows, row: rows.at[i].set(row), state[1], metrics)

        shapes = jax.eval_shape(one, c, carry, key, done)[1]
        empty = jax.tree.map(lambda m: jnp.zeros((every, *m.shape), m.dtype), shapes)
        return jax.lax.fori_loop(0, count, following, (carry, empty))

    axis = 0 if stacked else None
    begin = jax.jit(over_seeds(begin, len(keys), (axis, 0)), compiler_options=RUNS_ONCE)
    advance = jax.jit(over_seeds(advance, len(keys), (axis, 0, 0, None, None)), donate_argnums=1)
    done, carry = resume or (0, begin(config, keys))
    if resume is None:
        yield Chunk(0, carry, {})
    while done < updates:
        count = min(every, updates - done)
        carry, metrics = advance(config, carry, keys, jnp.int32(done), jnp.int32(count))
        done += count
        yield Chunk(done, carry, metrics if count == every else {k: m[:, :count] for k, m in metrics.items()})


def expected_carry(make: Callable[[C], Agent], config: C, envs: JaxEnvs | HostEnv, seeds: int = 1) -> PyTree:
    """The structure of a run's carry with shapes in place of arrays: what its checkpoint is loaded into."""

    def begin(c: PyTree, key: PRNGKey) -> Carry:
        if isinstance(envs, JaxEnvs):
            return start(make(c), envs, key)
        agent = make(c)
        seen = seen_space(envs.space, agent.options).obs
        obs = jnp.zeros((envs.num_envs, *seen.shape), seen.dtype)
        return Carry(agent.init(key, envs.space), None, obs, no_episodes(envs.num_envs))

    return over_axis(jax.eval_shape(begin, config, jax.random.key(0)), seeds)


def expected_state(make: Callable[[C], Agent | Solver], config: C, space: Space, seeds: int = 1) -> PyTree:
    """The structure of the agent's part of a carry alone, which needs no environment."""
    return over_axis(jax.eval_shape(lambda c: Learnt(make(c).init(jax.random.key(0), space)), config), seeds)


def over_axis(shapes: PyTree, seeds: int) -> PyTree:
    """Shapes with a leading axis S."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), shapes)


def _train_host(make, config, envs, updates, every, seed, resume) -> Iterator[Chunk]:
    key, space, agent = run_keys(seed, 1)[0], envs.space, make(config)
    envs = HostOptions(envs, agent.options) if agent.options else envs
    improve = jax.jit(lambda c, carry, batch, key: learn(make(c), carry, batch, key), donate_argnums=1)
    if resume:
        done, carry = resume[0], jax.tree.map(lambda x: x[0], resume[1])
        carry = Carry(
            _cut(carry.agent), None, jnp.asarray(envs.reset(env_seed(seed, done))), no_episodes(envs.num_envs)
        )
    else:
        # the configuration is traced here too: folded in as a constant it would give other last bits
        init = jax.jit(lambda c, key: make(c).init(key, space), compiler_options=RUNS_ONCE)
        done, carry = 0, start_host(partial(init, config), envs, jax.random.fold_in(key, 0), env_seed(seed, 0))
    if resume is None:
        yield Chunk(0, carry, {}, alone=True)
    act = _acting(make, config, carry.agent)
    while done < updates:
        rows = []
        for update in range(done, min(done + every, updates)):
            collect_key, learn_key = update_keys(key, update)
            carry, batch = collect_host(act(carry.agent), envs, carry, collect_key, agent.rollout)
            carry, metrics = improve(config, carry, batch, learn_key)
            rows.append(metrics)
        done = update + 1
        metrics = jax.tree.map(lambda *column: jnp.stack(column)[None], *rows)
        yield Chunk(done, carry, metrics, alone=True)


def _acting(make: Callable[[C], Agent], config: C, like: State) -> Callable[[State], Act]:
    """How states of one structure act in a host environment.

    A state is taken apart once and not at every step, where that is half of what it costs to start so small a program.
    """
    numbers, own = jax.tree.flatten(config)
    numbers, structure = jax.tree.map(jnp.asarray, numbers), jax.tree.structure(like)

    @jax.jit
    def act(numbers: list[Array], leaves: list[Array], obs: Obs, key: PRNGKey, t: Array) -> tuple[Action, Array]:
        agent = make(jax.tree.unflatten(own, numbers))
        return agent.act(jax.tree.unflatten(structure, leaves), obs, step_keys(key, t)[0])

    return lambda state: partial(act, numbers, jax.tree.leaves(state))


def _cut(state: State) -> State:
    """An agent's state whose replays know that every episode ends here."""
    is_ring = lambda x: isinstance(x, replay.Replay)  # noqa: E731
    return jax.tree.map(lambda x: replay.cut(x) if is_ring(x) else x, state, is_leaf=is_ring)


def env_seed(seed: int, update: int) -> int:
    """The seed of a host environment that (re)starts at an update; 31 bits, as C++ engines want."""
    return int(np.random.SeedSequence([seed, update]).generate_state(1)[0] >> 1)


def check_finite(chunk: Chunk) -> None:
    """Raise NotFinite if a metric or a parameter of the agent is not a number."""
    for name, values in chunk.metrics.items():
        bad = np.argwhere(~np.isfinite(np.asarray(values)))
        if len(bad) and name not in EPISODE_METRICS:
            seed, update = (int(i) for i in bad[bad[:, 1].argmin()])
            raise NotFinite(f"update {chunk.update - values.shape[1] + update + 1}, seed {seed}: {name} is not finite.")
    finite = _all_finite(chunk.held.agent, chunk.alone)
    if not finite.all():
        raise NotFinite(
            f"update {chunk.update}, seed {int(np.argmin(finite))}: a parameter of the agent is not finite."
        )


@partial(jax.jit, static_argnums=1)
def _all_finite(state: PyTree, alone: bool) -> Array:
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).reshape(1 if alone else x.shape[0], -1).all(1) for x in floats]).all(0)
