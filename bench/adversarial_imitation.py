"""Worker: imitation's GAIL or AIRL on seals/CartPole-v0 at its tutorials' settings; runs inside its own environment.

Arguments: gail or airl, demonstrations, return to reach, most rounds.
"""

import logging
import sys
import tempfile
from itertools import count

import numpy as np
import seals  # noqa: F401, registers the task
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.common import AdversarialTrainer
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Trajectory
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from stable_baselines3 import PPO
from worker import serve

METHOD, PATH, TARGET, MOST = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
NUM_ENVS, ROLLOUT = 8, 2_048
LEARNERS = {
    "gail": {"learning_rate": 4e-4},
    "airl": {"learning_rate": 5e-4, "clip_range": 0.1, "vf_coef": 0.1},
}
TRAINERS = {"gail": (GAIL, BasicRewardNet, 1_024, 8), "airl": (AIRL, BasicShapedRewardNet, 2_048, 16)}
"""The trainer, its reward net, pairs of each class per update, updates a round."""
logging.disable()
seeds = count()


def trainer(seed: int) -> AdversarialTrainer:
    venv = make_vec_env("seals/CartPole-v0", rng=np.random.default_rng(seed), n_envs=NUM_ENVS)
    with np.load(PATH) as f:
        pairs = zip(f["obs"], f["action"], strict=True)
        expert = [Trajectory(obs=obs, acts=action, infos=None, terminal=True) for obs, action in pairs]
    learner = PPO(
        "MlpPolicy",
        venv,
        n_steps=ROLLOUT,
        batch_size=64,
        ent_coef=0.0,
        gamma=0.95,
        n_epochs=5,
        seed=seed,
        device="cpu",
        **LEARNERS[METHOD],
    )
    spaces = venv.observation_space, venv.action_space
    adversary, reward_net, batch, updates = TRAINERS[METHOD]
    return adversary(
        demonstrations=expert,
        demo_batch_size=batch,
        gen_replay_buffer_capacity=512,
        n_disc_updates_per_round=updates,
        venv=venv,
        gen_algo=learner,
        reward_net=reward_net(*spaces, normalize_input_layer=RunningNorm),
        log_dir=tempfile.mkdtemp(),
    )


run = trainer(1_000)


def chunk() -> dict:
    run.train(NUM_ENVS * ROLLOUT)
    return {"steps": NUM_ENVS * ROLLOUT}


def reach() -> dict:
    """A run with a new seed until the last episode of every copy earned enough."""
    fresh = trainer(next(seeds))
    for _ in range(MOST):
        fresh.train(NUM_ENVS * ROLLOUT)
        learnt = float(np.mean([episode["r"] for episode in list(fresh.gen_algo.ep_info_buffer)[-NUM_ENVS:]]))
        if learnt >= TARGET:
            break
    return {"steps": fresh.gen_algo.num_timesteps, "return": learnt, "reached": learnt >= TARGET}


serve(lambda: {}, {"chunk": chunk, "reach": reach})
