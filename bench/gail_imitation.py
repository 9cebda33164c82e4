"""Worker: imitation's GAIL on seals/CartPole-v0 at its tutorial's settings; runs inside its own environment.

Arguments: demonstrations, return to reach, most rounds.
"""

import logging
import sys
import tempfile
from itertools import count

import numpy as np
import seals  # noqa: F401, registers the task
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Trajectory
from imitation.rewards.reward_nets import BasicRewardNet
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from stable_baselines3 import PPO
from worker import serve

PATH, TARGET, MOST = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
NUM_ENVS, ROLLOUT = 8, 2_048
logging.disable()
seeds = count()


def trainer(seed: int) -> GAIL:
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
        learning_rate=4e-4,
        gamma=0.95,
        n_epochs=5,
        seed=seed,
        device="cpu",
    )
    spaces = venv.observation_space, venv.action_space
    return GAIL(
        demonstrations=expert,
        demo_batch_size=1_024,
        gen_replay_buffer_capacity=512,
        n_disc_updates_per_round=8,
        venv=venv,
        gen_algo=learner,
        reward_net=BasicRewardNet(*spaces, normalize_input_layer=RunningNorm),
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
