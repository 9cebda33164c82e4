"""DQN on the frames of an Atari game: the door is open, and every layer learns."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.cli import main
from theodolite.commands import playing, recording
from theodolite.control import dqn
from theodolite.core import devices
from theodolite.core import replay as rings
from theodolite.core.errors import UserError
from theodolite.core.train import expected_carry, train
from theodolite.envs import registry
from theodolite.envs.registry import make

C = dqn.Config(
    rollout=2, train_every=4, learning_starts=8, replay=16, batch_size=4, hidden=(16,), channels=4, epsilon_start=1.0
)


def test_frames_move_every_layer_of_the_network():
    envs = make("Pong-v5", num_envs=2, reward_clip=True, episodic_life=True)
    chunks = train(dqn.agent, C, envs, updates=4, every=4, first=True)
    first, (chunk,) = jax.tree.map(jnp.copy, next(chunks).held.agent), list(chunks)
    envs.close()
    last = chunk.held.agent
    assert np.isfinite(chunk.metrics["loss"]).all() and int(last.learner.updates) == 3
    held = last.replay.rows
    assert held.obs.dtype == jnp.uint8 and held.obs.shape == (8, 2, 84, 84, 4) and (held.obs[0] > 0).any()
    b = rings.sample(last.replay, jax.random.key(0), 4, steps=C.n_step)
    head = dqn.head_of(C)
    fresh = dqn.agent(C).init(jax.random.key(0), envs.space).learner
    goals = dqn.targets(C, head, fresh, b)
    slope = jax.jit(jax.grad(lambda net: dqn.loss(net, C, head, b, goals)[0]))(fresh.net)
    layers = (*slope.torso.conv, *slope.torso.layers)
    assert len(slope.torso.conv) == 3
    for layer in layers:
        assert float(jnp.abs(jax.tree.leaves(layer)[0]).max()) > 0
    moved = jax.tree.map(lambda a, z: bool(jnp.any(a != z)), first.learner.net.torso, last.learner.net.torso)
    assert all(jax.tree.leaves(moved))


def test_a_score_and_demonstrations_are_those_of_whole_games(monkeypatch, tmp_path):
    asked = []

    def refuse(id: str, num_envs: int = 1, **options):
        asked.append(options)
        raise UserError("enough is known")

    manifest = {"env": "Pong-v5", "env_options": {"episodic_life": True, "reward_clip": True, "frame_skip": 2}}
    monkeypatch.setattr(registry, "make", refuse)
    for module in (playing, recording):
        monkeypatch.setattr(module, "Trained", lambda _: SimpleNamespace(manifest=manifest))
    for play in (lambda: playing.evaluate(tmp_path), lambda: recording.of_run(tmp_path, None, episodes=1)):
        with pytest.raises(UserError, match="enough is known"):
            play()
    assert asked == [{"frame_skip": 2}] * 2


def test_a_memory_that_the_machine_does_not_have_is_refused(tmp_path, capsys):
    envs = make("Pong-v5", num_envs=2)
    like = expected_carry(dqn.agent, replace(C, replay=10**9), envs)
    with pytest.raises(UserError, match=r"state takes 564\d\d\.\d GB, and there are .* Take a smaller replay"):
        devices.check_room(like)
    code = main(["train", "dqn", "--env", "Pong-v5", "--replay", "1000000000", "--out", str(tmp_path / "run")])
    assert code == 2 and "Take a smaller replay" in capsys.readouterr().err
    devices.check_room(expected_carry(dqn.agent, C, envs))
