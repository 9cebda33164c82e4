"""The quadruped of Fu et al. 2018, whole and crippled, on MuJoCo: learn a reward on one, use it on the other.

    theodolite train airl --env theodolite.envs.ant:Ant-Whole-v0 --demos my_demos --learner.squash --out runs/ant
    theodolite train ppo --env theodolite.envs.ant:Ant-Crippled-v0 --reward runs/ant --temperature 1 --squash

Importing this module registers both ids with Gymnasium. The crippled ant's back legs are half as long and have a
thirtieth of the strength, so it has to turn and walk with its front legs; what it is paid for stays the same. Motors
have gear 30, a fifth of the usual ant's. Nothing ends an episode but its length of 500 steps: an early end would
give the reward away. Needs the extra `ant`.
"""

from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from theodolite.core.errors import needs_extra

FRAMES, LIMIT, TORSO_HEIGHT = 5, 500, 0.75
CONTROL_COST, CONTACT_COST, FALLEN, FALLEN_COST = 0.01, 0.0005, 0.2, 1.0
REST = (0.0, 0.0, 0.55, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0)
"""Position, orientation and joint angles at the start, before noise."""
LEGS = (("front_left", 1, 1), ("front_right", -1, 1), ("back_left", -1, -1), ("back_right", 1, -1))
"""Each leg's name and the quadrant in which it lies."""
MOTORS = ("back_right", "front_left", "front_right", "back_left")
"""In the order of the actions, hip before ankle."""
CRIPPLED = ("back_left", "back_right")


def xml(crippled: bool = False, integrator: str = "Euler") -> str:
    """The body as MuJoCo reads it."""
    weak = CRIPPLED if crippled else ()
    legs = "".join(_leg(name, x, y, 0.5 if name in weak else 1.0) for name, x, y in LEGS)
    motors = "".join(
        f'<motor joint="{part}_{name}" gear="{1 if name in weak else 30}"/>'
        for name in MOTORS
        for part in ("hip", "ankle")
    )
    return f"""<mujoco model="ant">
  <compiler angle="degree" inertiafromgeom="true"/>
  <option integrator="{integrator}" timestep="0.01"/>
  <default>
    <joint armature="1" damping="1" limited="true"/>
    <geom conaffinity="0" condim="3" density="5" friction="1.5 0.5 0.5" margin="0.01"/>
    <motor ctrllimited="true" ctrlrange="-1 1"/>
  </default>
  <worldbody>
    <geom name="floor" type="plane" conaffinity="1" size="40 40 40"/>
    <body name="torso" pos="0 0 {TORSO_HEIGHT}">
      <geom type="sphere" size="0.25"/>
      <joint name="root" type="free" armature="0" damping="0" limited="false" margin="0.01"/>{legs}
    </body>
  </worldbody>
  <actuator>{motors}</actuator>
</mujoco>"""


def _leg(name: str, x: int, y: int, length: float) -> str:
    """A stub on the torso, a thigh on the hip and a shin on the ankle; the last two are of relative `length`."""

    def limb(reach: float) -> str:
        return f'<geom type="capsule" size="0.08" fromto="0 0 0 {x * reach} {y * reach} 0"/>'

    axis, bend = ("-1 1 0", y) if x * y > 0 else ("1 1 0", -y)
    return f"""
      <body name="{name}">{limb(0.2)}
        <body pos="{x * 0.2} {y * 0.2} 0"><joint name="hip_{name}" axis="0 0 1" range="-30 30"/>{limb(0.2 * length)}
          <body pos="{x * 0.2 * length} {y * 0.2 * length} 0">
            <joint name="ankle_{name}" axis="{axis}" range="{"30 70" if bend > 0 else "-70 -30"}"/>{limb(0.4 * length)}
          </body></body></body>"""


class Ant(gymnasium.Env):
    """Walk towards +x; pays the torso's velocity along x less the price of control, of contact, and of having fallen.

    Seen are the positions without x and y, the velocities, and the contact forces clipped to [-1, 1].
    """

    def __init__(self, crippled: bool = False, integrator: str = "Euler"):
        try:
            self._mujoco: Any = import_module("mujoco")  # a C extension without types
        except ModuleNotFoundError as error:
            raise needs_extra("mujoco", "ant", "the ant") from error
        self._model: Any = self._mujoco.MjModel.from_xml_string(xml(crippled, integrator))
        self._data: Any = self._mujoco.MjData(self._model)
        width = self._model.nq - 2 + self._model.nv + 6 * self._model.nbody
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (self._model.nu,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Float[np.ndarray, " O"], dict]:
        """At rest with a little noise."""
        super().reset(seed=seed)
        self._mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = np.array(REST) + self.np_random.uniform(-0.1, 0.1, self._model.nq)
        self._data.qvel[:] = 0.1 * self.np_random.standard_normal(self._model.nv)
        self._mujoco.mj_forward(self._model, self._data)
        return self._obs(), {}

    def step(self, action: Float[np.ndarray, "8"]) -> tuple[Float[np.ndarray, " O"], float, bool, bool, dict]:
        """Five steps of a hundredth of a second."""
        before = self._data.body("torso").xpos[0]
        self._data.ctrl[:] = action
        self._mujoco.mj_step(self._model, self._data, FRAMES)
        self._mujoco.mj_rnePostConstraint(self._model, self._data)  # contact forces are computed on demand alone
        velocity = (self._data.body("torso").xpos[0] - before) / (FRAMES * self._model.opt.timestep)
        contact = np.clip(self._data.cfrc_ext, -1, 1)
        fallen = self._data.body("torso").xpos[2] < FALLEN
        cost = CONTROL_COST * np.sum(np.square(action)) + CONTACT_COST * np.sum(contact**2) + FALLEN_COST * fallen
        return self._obs(), float(velocity - cost), False, False, {}

    def _obs(self) -> Float[np.ndarray, " O"]:
        contact = np.clip(self._data.cfrc_ext, -1, 1)
        return np.concatenate([self._data.qpos[2:], self._data.qvel, contact.ravel()])


for _id, _crippled in (("Ant-Whole-v0", False), ("Ant-Crippled-v0", True)):
    if _id not in gymnasium.registry:
        gymnasium.register(_id, f"{__name__}:Ant", max_episode_steps=LIMIT, kwargs={"crippled": _crippled})
