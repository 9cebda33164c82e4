"""Worker: SBX trains METHOD on HalfCheetah-v5 with SEED for STEPS, then plays; runs inside its own environment."""

import sys

import numpy as np
from sbx import SAC, TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise
from worker import serve

METHOD, SEED, STEPS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
COMMON = {
    "learning_rate": 3e-4, "buffer_size": 1_000_000, "learning_starts": min(10_000, STEPS // 4), "batch_size": 256,
    "tau": 0.005, "gamma": 0.99, "train_freq": 1, "gradient_steps": 1, "seed": SEED,
    "policy_kwargs": {"net_arch": [256, 256]},
}  # fmt: skip


def whole() -> dict:
    if METHOD == "td3":
        noise = NormalActionNoise(np.zeros(6), 0.1 * np.ones(6))
        learner = TD3("MlpPolicy", "HalfCheetah-v5", action_noise=noise, policy_delay=2, **COMMON)
    else:
        learner = SAC("MlpPolicy", "HalfCheetah-v5", **COMMON)
    learner.learn(STEPS)
    mean, _ = evaluate_policy(learner, learner.get_env(), n_eval_episodes=10, deterministic=True)
    return {"return": float(mean), "steps": STEPS}


serve(whole, {})
