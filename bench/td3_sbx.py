"""Worker: SBX's TD3 at the same settings; runs inside its own environment. Argument: steps between its updates."""

import sys

from sbx import TD3
from worker import serve

ROLLOUT, STEPS = int(sys.argv[1]), 1_024

learner = TD3(
    "MlpPolicy",
    "HalfCheetah-v5",
    learning_rate=3e-4,
    buffer_size=1_000_000,
    learning_starts=256,
    batch_size=256,
    tau=0.005,
    gamma=0.99,
    train_freq=ROLLOUT,
    gradient_steps=ROLLOUT,
    policy_delay=2,
    policy_kwargs={"net_arch": [256, 256]},
)
started = False


def chunk() -> dict:
    global started
    learner.learn(STEPS, reset_num_timesteps=not started)
    started = True
    return {"steps": STEPS}


serve(chunk, {"chunk": chunk})
