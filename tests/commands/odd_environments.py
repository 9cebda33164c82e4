"""Environments that misbehave, registered with Gymnasium on import: `odd_environments:Raises-v0` and so on."""

import os

import gymnasium
import numpy as np


class Odd(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32)

    def __init__(self, raise_after: int | None = None, noisy: bool = False):
        self.raise_after, self.noisy = raise_after, noisy
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.say("reset")
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.steps += 1
        if self.steps == self.raise_after:
            raise RuntimeError("the bearing of wheel 3 is worn")
        self.say("step")
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0, self.steps % 5 == 0, False, {}

    def say(self, what):
        if self.noisy:
            print(f"Odd: {what}", flush=True)
            os.write(1, b"from below\n")


class Image(Odd):
    observation_space = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)


class Dictionary(Odd):
    observation_space = gymnasium.spaces.Dict(eye=gymnasium.spaces.Box(-1, 1, (3,)), ear=gymnasium.spaces.Discrete(2))


gymnasium.register("Image-v0", Image)
gymnasium.register("Dictionary-v0", Dictionary)
gymnasium.register("Raises-v0", Odd, kwargs={"raise_after": 40})
gymnasium.register("Noisy-v0", Odd, kwargs={"noisy": True})
