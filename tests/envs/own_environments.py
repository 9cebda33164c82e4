"""Environments as a user would write them; importing this module registers them with Gymnasium."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env):
    """The observation is [steps taken, episode]; terminates after `ends_at` steps. Hands out one array, in place."""

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float64)

    def __init__(self, ends_at: int = 3, action_space: spaces.Space | None = None, fails_at: int | None = None):
        self.action_space = action_space or spaces.Discrete(2, start=5)
        self.ends_at, self.fails_at = ends_at, fails_at
        self.shown, self.actions = np.zeros(2), []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shown += [-self.shown[0], 1]
        return self.shown, {}

    def step(self, action):
        self.actions.append(action)
        self.shown[0] += 1
        if self.shown[0] == self.fails_at:
            raise ZeroDivisionError("the user's own bug")
        return self.shown, float(self.shown[0]), bool(self.shown[0] >= self.ends_at), False, {"ignored": self.shown}


class Noisy(gymnasium.Env):
    """Gaussian observations in any space of real numbers: what the seed gives and nothing else."""

    action_space = spaces.Box(-1, 1, (2,), np.float64)
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=3), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.np_random.normal(size=3), float(action.sum()), bool(self.np_random.random() < 0.2), False, {}


class Shows(gymnasium.Env):
    """Samples of an observation space, for the spaces that are taken and those that are refused."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space | None = None):
        self.observation_space, self.action_space = observation_space, action_space or spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


gymnasium.register("OwnCounter-v0", Counter, max_episode_steps=4)
gymnasium.register("OwnNoisy-v0", Noisy, max_episode_steps=7)
gymnasium.register("OwnShows-v0", Shows)
gymnasium.register("OwnBatch-v0", vector_entry_point="own_environments:Counter")
