"""A reward out of a run's folder against the networks that were put there; of either method, seed by seed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import theodolite
from theodolite.core import checkpoint, normalise, runlog
from theodolite.core.env import Box, Discrete, Space
from theodolite.core.errors import UserError
from theodolite.core.train import Learnt
from theodolite.intent import airl, gan_gcl, learned_reward, learned_run

SPACE = Space(Box((3,)), Discrete(2), num_envs=2)
AIRL = airl.Config(inputs="obs_action", hidden=(4,), potential_hidden=(), activation="relu")
GCL = gan_gcl.Config(inputs="next_obs", hidden=(5,))


def learned(c, seed):
    moments = normalise.Moments(jnp.arange(3.0), jnp.array([1.0, 4.0, 9.0]), jnp.float32(9))
    potential = getattr(c, "potential_hidden", None)
    key = jax.random.key(seed)
    return learned_reward.init(key, SPACE, c.inputs, c.hidden, potential, moments, getattr(c, "activation", "tanh"))


def write(folder, method, c, parts=None):
    """A run of two seeds, as far as it is read."""
    both = [learned(c, seed) for seed in range(2)]
    for at, rewards in zip(parts or [""], [[r] for r in both] if parts else [both], strict=True):
        (folder / at).mkdir(parents=True)
        together = jax.tree.map(lambda *x: jnp.stack(x), *rewards)
        checkpoint.save(folder / at / runlog.LAST, Learnt(learned_run.Held(together)), update=1)
    about = {"method": method, "seeds": 2, "config": runlog.config_to_json(c), "space": runlog.space_to_json(SPACE)}
    (folder / runlog.MANIFEST).write_text(json.dumps(about | ({"parts": parts} if parts else {})))
    return both


@pytest.mark.parametrize(
    ("module", "c", "parts"), [(airl, AIRL, None), (gan_gcl, GCL, ["seed-0", "seed-1"])], ids=["airl", "gan_gcl"]
)
def test_it_is_what_the_run_learned(tmp_path, module, c, parts):
    rng = np.random.default_rng(0)
    obs, following, action = *rng.normal(size=(2, 6, 3)).astype(np.float32), np.arange(6) % 2
    for seed, r in enumerate(write(tmp_path / "run", module.__name__.split(".")[-1], c, parts)):
        found = module.reward(tmp_path / "run", seed)
        p = learned_reward.Seen(*map(jnp.asarray, (obs, action.astype(np.int32), following, np.zeros(6, bool))))
        np.testing.assert_allclose(found(obs, action, following), learned_reward.ground(r, p), rtol=1e-5, atol=1e-6)
        f = learned_reward.shaped(r, p, 0.9)
        np.testing.assert_allclose(found(obs, action, following, discount=0.9), f, rtol=1e-5, atol=1e-6)
    with pytest.raises(UserError, match="holds 2 seeds: expected one of 0 to 1, not 2"):
        module.reward(tmp_path / "run", 2)


def test_one_function_has_its_names():
    assert airl.reward is gan_gcl.reward is theodolite.load_reward is learned_run.load


def test_which_reward_it_is_does_not_depend_on_the_folder(tmp_path):
    for name in ("here", "there"):
        write(tmp_path / name, "airl", AIRL)
    assert learned_run.digest(tmp_path / "here") == learned_run.digest(tmp_path / "there")
    with pytest.raises(UserError, match="is no run folder"):
        learned_run.digest(tmp_path)
