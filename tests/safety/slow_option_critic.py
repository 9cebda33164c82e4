"""Option-critic and the authors' penalty as loops over numbers, one transition after the other."""

import math

import numpy as np


def episodes_of(rng, *, num_options, active, steps, num_features=12, num_actions=4):
    """Random transitions that hang together: episodes of about eight steps, pairs revisited."""
    found, first = [], True
    features, option = _features(rng, active, num_features), 0
    for _ in range(steps):
        action = int(rng.integers(num_actions))
        arrived = features if rng.random() < 0.2 else _features(rng, active, num_features)
        over = rng.random() < 0.12
        found.append((features, np.int32(option), np.int32(action), np.float32(0), np.float32(rng.normal()), arrived,
                      np.bool_(over and rng.random() < 0.7), np.bool_(first)))  # fmt: skip
        first = over
        features = _features(rng, active, num_features) if over else arrived
        option = int(rng.integers(num_options)) if rng.random() < 0.3 else option
    return found


def _features(rng, active, num_features):
    per = num_features // active
    return np.array([k * per + rng.integers(min(per, 3)) for k in range(active)], np.int32)


class SlowLearner:
    """One number at a time; `rule` is a safe_option_critic.Config or nothing."""

    def __init__(self, c, weights, active, rule=None):
        self.c, self.weights, self.active, self.rule = c, weights.copy(), active, rule
        self.half = 2 + (weights.shape[-1] - 2) // 2

    def value(self, features, option, column):
        return sum(self.weights[f, option, column] for f in features)

    def probs(self, features, option):
        logits = [self.value(features, option, k) / self.c.temperature
                  for k in range(self.half, self.weights.shape[-1])]  # fmt: skip
        top = max(logits)
        total = sum(math.exp(x - top) for x in logits)
        return [math.exp(x - top) / total for x in logits]

    def add(self, features, option, column, change):
        for f in features:
            self.weights[f, option, column] += change / self.active

    def target(self, arrived, option, reward, terminated):
        if terminated:
            return reward
        values = [self.value(arrived, o, 0) for o in range(self.c.num_options)]
        beta = 1 / (1 + math.exp(-self.value(arrived, option, 1)))
        return reward + self.c.discount * ((1 - beta) * values[option] + beta * max(values))

    def learn(self, t):
        """One transition; Q_O when the pair was entered is taken as it stands now."""
        features, option, action, _, reward, arrived, terminated, first = t
        features, arrived = [int(f) for f in features], [int(f) for f in arrived]
        option, action, reward, c = int(option), int(action), float(reward), self.c
        if first:
            self.start, self.visit, self.squared = (features, option), True, 0.0
        here = (features, option) == self.start
        before = self.value(features, option, 2 + action)
        aimed = self.target(arrived, option, reward, terminated)
        cost = self.cost(aimed - before, here)
        entered = self.value(features, option, 0)
        pmf = self.probs(features, option)
        beta = 1 / (1 + math.exp(-self.value(arrived, option, 1)))
        self.add(features, option, 0, c.critic_rate * (aimed - cost - entered))
        aimed = self.target(arrived, option, reward, terminated)
        self.add(features, option, 2 + action, c.critic_rate * (aimed - cost - before))
        critic = self.value(features, option, 2 + action)
        error = aimed - critic
        gap = self.value(arrived, option, 0) - max(self.value(arrived, o, 0) for o in range(c.num_options))
        baseline = self.value(features, option, 0) if c.baseline else 0.0
        steps = [(features, option, action, pmf, critic - baseline)]
        if self.rule is not None and self.rule.through == "actor":
            steps += self.controllability(features, option, action, pmf, error, here)
        for where, which, taken, probs, weight in steps:
            for k, p in enumerate(probs):
                self.add(where, which, self.half + k, c.policy_rate * weight * ((k == taken) - p))
        if not terminated:
            self.add(arrived, option, 1, -c.termination_rate * beta * (1 - beta) * (gap + c.deliberation_cost))

    def cost(self, error, here):
        rule = self.rule
        if rule is None or rule.through != "critic" or not (here or rule.scope == "all"):
            return 0.0
        return min(rule.psi * error**2, rule.cap)

    def controllability(self, features, option, action, pmf, error, here):
        """The released rule in the order of the authors' script, or the penalty once per visit."""
        rule, penalty = self.rule, min(self.rule.psi * error**2, self.rule.cap)
        reached = here or rule.scope == "all"
        if reached and not rule.detach and rule.psi * error**2 < rule.cap:
            slope = 2 * rule.psi * error * math.log(pmf[action] + 1e-4)
            self.add(features, option, 2 + action, self.c.critic_rate * slope)
        if rule.repeat == "visit":
            return [(features, option, action, pmf, -penalty)] if reached else []
        if here:
            self.squared, self.taken = penalty, action
        if self.visit:
            self.pmf, self.weight, self.visit = self.probs(*self.start), self.squared, False
        if here:
            self.visit = True
        return [(*self.start, self.taken, self.pmf, -self.weight)]
