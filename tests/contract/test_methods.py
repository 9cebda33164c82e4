"""What every method owes, whatever it learns: pure, resumable, vmappable, the same through either driver."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree
from methods import DRIVERS, METHODS, ROLLOUT, Method, NumpyFace, is_action

from theodolite.core import checkpoint, replay
from theodolite.core.drive import Carry
from theodolite.core.options import seen_space
from theodolite.core.train import Chunk, expected_carry, train

pytestmark = pytest.mark.usefixtures("light_numbers")
UPDATES, HALF, SEEDS = 10, 5, 2


class Run(NamedTuple):
    """The chunks of a run, with carries on the host, and how often the method was traced."""

    chunks: list[Chunk]
    traces: list[int]

    @property
    def carry(self) -> Carry:
        return self.chunks[-1].carry


def run(method: Method, envs=None, **settings) -> Run:
    """Train, and count the tracings of the method's maker after every chunk."""
    count, chunks, traces = 0, [], []

    def make(config):
        nonlocal count
        count += 1
        return method.make(config)

    for chunk in train(make, method.config, envs or method.envs, every=HALF, **settings):
        chunks.append(jax.tree.map(np.asarray, chunk))  # the next chunk takes the carry's place
        traces.append(count)
    return Run(chunks, traces)


@pytest.fixture(scope="module", params=METHODS)
def method(request) -> Method:
    return METHODS[request.param]


@pytest.fixture(scope="module")
def whole(method) -> Run:
    return run(method, updates=UPDATES, seeds=SEEDS)


@pytest.fixture(scope="module")
def alone(method) -> Run:
    """The same with one seed, which takes the program without vmap."""
    return run(method, updates=UPDATES)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_metrics_are_those_declared_and_finite(method, whole):
    for chunk in whole.chunks:
        assert chunk.metrics.keys() == method.metrics | DRIVERS
        for name, values in chunk.metrics.items():
            assert values.shape == (SEEDS, HALF)
            assert name in DRIVERS or np.isfinite(values).all(), name
    assert (whole.chunks[-1].metrics["episodes"] > 0).all()
    assert np.isfinite(whole.chunks[-1].metrics["return"]).all()


def test_later_chunks_are_the_same_program(whole, alone):
    assert len(set(whole.traces)) == len(set(alone.traces)) == 1


def test_state_is_arrays_that_change(whole):
    before, after = (jax.tree.leaves(chunk.carry.agent) for chunk in whole.chunks)
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype != object for leaf in after)
    assert any((x != y).any() for x, y in zip(before, after, strict=True))


def test_a_run_stopped_after_five_updates_goes_on_with_the_same_bits(method, whole, tmp_path):
    """In a program traced anew; that the start is the same, too, is seen where the drivers are compared."""
    checkpoint.save(tmp_path / "last.npz", whole.chunks[0].carry, update=HALF)
    like = expected_carry(method.make, method.config, method.envs, SEEDS)
    done, carry = checkpoint.meta(tmp_path / "last.npz")["update"], checkpoint.load(tmp_path / "last.npz", like)
    second = run(method, updates=UPDATES, seeds=SEEDS, resume=(done, carry))
    same(second.carry, whole.carry)
    same(second.chunks[-1].metrics, whole.chunks[-1].metrics)


def test_vmapped_seeds_agree_with_a_single_one(whole, alone):
    first = jax.tree.map(lambda x: x[:1], whole.carry)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), first, alone.carry)
    differ = jax.tree.map(lambda x: (x[0] != x[1]).any(), whole.carry.agent)
    assert any(jax.tree.leaves(differ))


def test_a_numpy_face_gives_the_same_bits(method, alone):
    """And so does the same key whenever a method is traced anew, which the other driver has to do."""
    host = run(method, NumpyFace(method.envs, ROLLOUT), updates=UPDATES)
    same(host.carry.agent, alone.carry.agent)
    same(host.carry.obs, alone.carry.obs)
    for mine, other in zip(host.chunks, alone.chunks, strict=True):
        same(mine.metrics, other.metrics)
    assert host.traces[0] == host.traces[-1]


@pytest.mark.parametrize("name", ["ppo, continuous", "gail of ppo"])
def test_optimised_programs_of_both_drivers_agree_to_rounding(name):
    """XLA contracts products and sums into one rounding where it fuses them, and it fuses the two differently."""
    method = METHODS[name]
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        on_device, on_host = (run(method, envs, updates=1) for envs in (None, NumpyFace(method.envs, ROLLOUT)))
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    pair = on_device.carry.agent, on_host.carry.agent
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *pair)


def test_whoever_keeps_rewards_pays_them_anew(method, whole):
    state = jax.tree.map(lambda x: jnp.asarray(x[0]), whole.carry.agent)
    if isinstance(method.config, tuple) or not rings(state):
        pytest.skip("keeps no rewards that somebody else might learn")
    paid = method.make(method.config).repay(state, lambda seen: jnp.full(seen.terminated.shape, 7.0))
    (ring,) = rings(paid)
    assert (ring.rows.reward[: int(ring.written)] == 7).all() and ring.written > 0


def rings(state: PyTree) -> list[replay.Replay]:
    leaves = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, replay.Replay))
    return [x for x in leaves if isinstance(x, replay.Replay)]


def test_a_policy_acts_on_any_leading_axes_and_knows_its_probabilities(method, whole, key):
    agent = method.make(method.config)
    space = seen_space(method.envs.space, agent.options)

    @jax.jit
    def play(state, obs, key):
        action, log_prob = agent.act(state, obs, key)
        mode = agent.mode(state, obs)
        return action, mode, log_prob, agent.log_prob(state, obs, action), agent.log_prob(state, obs, mode)

    state = jax.tree.map(lambda x: x[0], whole.carry.agent)
    few, many = 3, 70  # so many that a policy which explores one time in twenty does so somewhere
    obs = np.random.default_rng(0).normal(size=(few, many, *space.obs.shape)).astype(np.float32)
    action, mode, log_prob, same_log_prob, best = play(state, obs, key)
    assert is_action(space, action, (few, many)) and is_action(space, mode, (few, many))
    np.testing.assert_allclose(log_prob, same_log_prob, rtol=1e-4, atol=1e-5)
    assert not method.mode_is_likeliest or (best >= log_prob - 1e-5).all()
    same(action, play(state, obs, key)[0])
    assert (action != play(state, obs, jax.random.fold_in(key, 1))[0]).any()
