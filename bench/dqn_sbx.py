"""Worker: SBX's DQN on CartPole-v1 at the same settings; runs inside its own environment. Argument: environments."""

import sys

from sbx import DQN
from stable_baselines3.common.env_util import make_vec_env
from worker import serve

NUM_ENVS, TRAIN_EVERY, STEPS = int(sys.argv[1]), 10, 5_000

learner = DQN(
    "MlpPolicy",
    make_vec_env("CartPole-v1", NUM_ENVS),
    learning_rate=2.5e-4,
    buffer_size=10_000,
    learning_starts=200,
    batch_size=128,
    gamma=0.99,
    train_freq=TRAIN_EVERY // NUM_ENVS,
    gradient_steps=1,
    target_update_interval=500,
    exploration_fraction=1.0,
    policy_kwargs={"net_arch": [120, 84]},
)
started = False


def chunk() -> dict:
    global started
    learner.learn(STEPS, reset_num_timesteps=not started)
    started = True
    return {"steps": STEPS}


serve(chunk, {"chunk": chunk})
