"""The ant against Gymnasium's own body, and what is crippled about the other."""

from pathlib import Path

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
mujoco = pytest.importorskip("mujoco")

from theodolite.envs import ant, registry  # noqa: E402 (only where both packages are)


def model(**options):
    return mujoco.MjModel.from_xml_string(ant.xml(**options))


def test_the_whole_ant_is_gymnasiums_with_weaker_motors_and_more_friction():
    ours = model(integrator="RK4")
    theirs = mujoco.MjModel.from_xml_path(str(Path(gymnasium.__file__).parent / "envs/mujoco/assets/ant.xml"))
    same = ("body_mass", "body_inertia", "body_pos", "jnt_axis", "jnt_range", "jnt_type", "dof_armature", "dof_damping")
    for name in (*same, "geom_size", "geom_pos", "geom_type", "actuator_trnid", "actuator_ctrlrange"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.actuator_gear[:, 0], theirs.actuator_gear[:, 0] / 5)
    assert ours.opt.timestep == theirs.opt.timestep and ours.opt.integrator == theirs.opt.integrator
    np.testing.assert_allclose(ours.geom_friction[:, 0], 1.5)


def test_the_crippled_ants_back_legs_are_half_as_long_and_hardly_move():
    whole, crippled = model(), model(crippled=True)
    for name, *_ in ant.LEGS:
        weak = name in ant.CRIPPLED
        hip, ankle = (crippled.joint(f"{part}_{name}").id for part in ("hip", "ankle"))
        gears = [crippled.actuator_gear[i, 0] for i in range(8) if crippled.actuator_trnid[i, 0] in (hip, ankle)]
        assert gears == [1, 1] if weak else [30, 30]
        shin = crippled.jnt_bodyid[ankle]
        ratio = np.linalg.norm(crippled.body_pos[shin]) / np.linalg.norm(whole.body_pos[shin])
        length = crippled.geom_size[crippled.body_geomadr[shin], 1] / whole.geom_size[whole.body_geomadr[shin], 1]
        assert ratio == pytest.approx(length) == pytest.approx(0.5 if weak else 1)


def test_episodes_last_500_steps_and_pay_velocity_less_costs():
    envs = registry.make("theodolite.envs.ant:Ant-Crippled-v0", num_envs=2)
    assert envs.space.obs.shape == (111,) and envs.space.action.shape == (8,)
    first = envs.reset(3)
    again = registry.make("theodolite.envs.ant:Ant-Crippled-v0", num_envs=2)
    np.testing.assert_array_equal(first, again.reset(3))
    rng, actions = np.random.default_rng(0), []
    for step in range(500):
        actions.append(rng.uniform(-1, 1, (2, 8)).astype(np.float32))
        out = envs.step(actions[-1])
        assert not out.terminated.any() and out.truncated.all() == (step == 499)
    assert np.isfinite(out.last_obs).all()
    envs.close()
    again.close()


def test_the_reward_is_what_the_paper_pays():
    env = ant.Ant()
    env.reset(seed=0)
    data = env._data
    for _ in range(30):
        x = data.body("torso").xpos[0]
        action = env.np_random.uniform(-1, 1, 8)
        obs, reward, *_ = env.step(action)
        velocity = (data.body("torso").xpos[0] - x) / 0.05
        cost = 0.01 * action @ action + 0.0005 * obs[27:] @ obs[27:] + (data.body("torso").xpos[2] < 0.2)
        assert reward == pytest.approx(velocity - cost)
    assert abs(obs[27:]).max() > 0  # it stands on the ground by now
