"""Ids: who answers, what limits they carry, and what is said to those that nothing answers to."""

import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from theodolite.core.env import Box, JaxEnvs
from theodolite.core.errors import UserError
from theodolite.envs.checker import check
from theodolite.envs.registry import TASKS, base, known_ids, make


def ends(envs: JaxEnvs, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Which steps of one copy terminated and which were truncated, under the action 0."""
    action = envs.space.action
    still = jnp.zeros(action.shape) if isinstance(action, Box) else jnp.int32(0)

    @jax.jit
    def play(key):
        state, _ = envs.env.reset(key)
        keys = jax.random.split(key, steps)
        return jax.lax.scan(lambda state, key: envs.env.step(key, state, still), state, keys)[1]

    out = play(jax.random.key(0))
    return np.flatnonzero(out.terminated) + 1, np.flatnonzero(out.truncated) + 1


ALIKE = ("CartPole-v0", "Pendulum-v0", "MonsterGrid-v0", "CliffGrid-v0", "RewardedLoop-v0")
"""Ids that differ from another in limit or tables alone."""


@pytest.mark.parametrize("id", [id for id in TASKS if id not in ALIKE])
def test_the_contract_holds(id):
    envs = make(id, 3)
    assert isinstance(envs, JaxEnvs)
    assert (envs.id, envs.num_envs, envs.space.num_envs) == (id, 3, 3)
    check(envs, steps=60)


@pytest.mark.parametrize("id", [id for id in TASKS if id.startswith("Probe")])
def test_the_contract_holds_for_probes_with_continuous_actions(id):
    check(make(id, 2, continuous=True), steps=20)


@pytest.mark.parametrize(
    ("id", "limit"),
    [("MountainCar-v0", 200), ("MountainCarContinuous-v0", 999), ("Pendulum-v0", 200), ("Pendulum-v1", 200)],
)
def test_tasks_that_do_not_end_by_themselves_are_cut_at_their_limit(id, limit):
    terminated, truncated = ends(make(id), 2 * limit)
    assert not len(terminated)
    np.testing.assert_array_equal(truncated, [limit, 2 * limit])


def test_limits_are_those_of_gymnasium_and_of_the_gym_that_papers_used():
    for id in ("CartPole-v0", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"):
        assert TASKS[id].limit == gymnasium.spec(id).max_episode_steps
    assert TASKS["Acrobot-v0"].limit == TASKS["Pendulum-v0"].limit == 200
    assert make("Acrobot-v0").space.obs.shape == (4,)


def test_a_limit_of_one_s_own():
    assert ends(make("Pendulum-v1", max_episode_steps=7), 21)[1].tolist() == [7, 14, 21]
    assert ends(make("Acrobot-v1", max_episode_steps=3), 7)[1].tolist() == [3, 6]
    with pytest.raises(UserError, match="max_episode_steps = 0: must be a whole number >= 1"):
        make("Pendulum-v1", max_episode_steps=0)


def test_continuous_actions_are_clipped():
    env = make("MountainCarContinuous-v0").env
    state, _ = env.reset(jax.random.key(0))
    far, edge = (env.step(jax.random.key(1), state, jnp.array([a]))[1] for a in (7.0, 1.0))
    assert far.reward == edge.reward == np.float32(-0.1)
    np.testing.assert_array_equal(far.obs, edge.obs)


def test_base_is_the_bare_task():
    env = base("Pendulum-v1", g=1.0)
    assert env.reset(jax.random.key(0))[0].shape == (2,)
    with pytest.raises(UserError, match=r"'Pendulum-v2' is unknown\. Did you mean Pendulum-v"):
        base("Pendulum-v2")
    with pytest.raises(UserError, match=r"no option 'gravity'\. Its options: max_episode_steps, g\."):
        make("Pendulum-v1", gravity=1.0)


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("CartPole-v1", "JaxEnvs"),
        ("theodolite/CartPole-v1", "JaxEnvs"),
        ("envpool/CartPole-v1", "EnvPoolEnvs"),
        ("gymnasium/CartPole-v1", "GymnasiumEnvs"),
        ("Swimmer-v5", "EnvPoolEnvs"),
        ("own_environments:OwnNoisy-v0", "GymnasiumEnvs"),
        ("gymnasium/own_environments:OwnNoisy-v0", "GymnasiumEnvs"),
    ],
)
def test_who_answers(id, kind):
    envs = make(id, 2)
    assert type(envs).__name__ == kind
    assert (envs.id, envs.num_envs, envs.space.num_envs) == (id, 2, 2)


def test_a_registered_id_needs_no_module():
    gymnasium.register("OnlyHere-v0", lambda: gymnasium.make("CartPole-v1"), max_episode_steps=5)
    try:
        assert type(make("OnlyHere-v0")).__name__ == "GymnasiumEnvs"
        assert "OnlyHere-v0" in known_ids()
    finally:
        del gymnasium.registry["OnlyHere-v0"]


@pytest.mark.parametrize(
    ("id", "says"),
    [
        ("CartPol-v1", "environment 'CartPol-v1' is unknown. Did you mean CartPole-v1"),
        ("hoper-v5", "Did you mean Hopper-v5"),
        ("zzzzzz", "'zzzzzz' is unknown.*theodolite.envs.registry.known_ids"),
        ("theodolite/Hopper-v5", "environment 'Hopper-v5' is unknown"),
        ("envpool/Hoper-v5", "EnvPool environment 'Hoper-v5' is unknown. Did you mean Hopper-v5"),
        ("gymnasium/CartPol-v1", "Gymnasium environment 'CartPol-v1' is unknown. Did you mean CartPole-v1"),
        ("own_environments:OwnNoisi-v0", "'OwnNoisi-v0' is unknown. Did you mean OwnNoisy-v0.*importing 'own_env"),
        ("no_such_module:Maze-v0", "the module 'no_such_module' was not found. Install it"),
        ("own_environments.deeper:Maze-v0", "the module 'own_environments.deeper' was not found"),
        ("own_environments:OwnBatch-v0", "Gymnasium could not make .*entry point"),
    ],
)
def test_unknown_ids_are_told_the_nearest(id, says):
    with pytest.raises(UserError, match=says):
        make(id)


def test_errors_inside_a_user_s_module_pass(tmp_path, monkeypatch):
    (tmp_path / "broken_maze.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        make("broken_maze:Maze-v0")


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def hide(*packages: str) -> None:
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)
        for module in ("envpool_adapter", "gymnasium_adapter", "host_spaces"):
            monkeypatch.delitem(sys.modules, f"theodolite.envs.{module}", raising=False)

    return hide


def test_missing_packages_are_named_with_what_to_install(without):
    without("envpool")
    with pytest.raises(UserError, match=r"needs the package 'envpool'.*'\.\[mujoco\]'"):
        make("envpool/Hopper-v5")
    with pytest.raises(UserError, match=r"'HopperHop-v1' is unknown.*envpool, not installed.*'\.\[mujoco\]'"):
        make("HopperHop-v1")
    without("envpool", "gymnasium")
    with pytest.raises(UserError, match=r"needs the package 'gymnasium'.*'\.\[host\]'"):
        make("own_environments:OwnNoisy-v0")
    with pytest.raises(UserError, match="envpool and gymnasium, not installed"):
        make("Hopper-v5")
    assert known_ids() == list(TASKS)
    assert isinstance(make("CartPole-v1"), JaxEnvs)


def test_our_own_ids_import_neither_package():
    program = (
        "import sys; from theodolite.envs.registry import make; make('CartPole-v1', 4); make('Pendulum-v1');"
        "sys.exit(bool({'gymnasium', 'envpool'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_known_ids_start_with_ours_and_hold_those_of_both_packages():
    ids = known_ids()
    assert ids[: len(TASKS)] == list(TASKS)
    assert len(ids) == len(set(ids))
    assert {"Hopper-v5", "Pong-v5", "Blackjack-v1"} <= set(ids)


def test_at_least_one_copy():
    with pytest.raises(UserError, match="num_envs = 0: must be >= 1"):
        make("CartPole-v1", 0)
