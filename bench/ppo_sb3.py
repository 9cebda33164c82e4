"""Worker: Stable-Baselines3's PPO on CartPole-v1 at the same settings; runs inside imitation's environment."""

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from worker import serve

NUM_ENVS, ROLLOUT, UPDATES = 64, 64, 5

learner = PPO(
    "MlpPolicy",
    make_vec_env("CartPole-v1", NUM_ENVS),
    learning_rate=1e-3,
    n_steps=ROLLOUT,
    batch_size=NUM_ENVS * ROLLOUT // 4,
    n_epochs=4,
    policy_kwargs={"net_arch": [64, 64], "activation_fn": torch.nn.Tanh},
    device="cpu",
)


def chunk() -> dict:
    learner.learn(NUM_ENVS * ROLLOUT * UPDATES, reset_num_timesteps=False)
    return {"steps": NUM_ENVS * ROLLOUT * UPDATES}


serve(chunk, {"chunk": chunk})
