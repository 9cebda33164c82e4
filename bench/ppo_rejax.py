"""Worker: rejax's PPO on CartPole-v1 at the same settings; runs inside its own environment."""

import jax
from compile_time import compile_s, watch
from rejax import PPO
from rejax.evaluate import evaluate
from worker import serve

NUM_ENVS, ROLLOUT, UPDATES, TESTS, TEST_SEEDS = 64, 64, 50, 128, 5
STEPS = NUM_ENVS * ROLLOUT * UPDATES

algorithm = PPO.create(
    env="CartPole-v1",
    agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
    num_envs=NUM_ENVS,
    num_steps=ROLLOUT,
    num_epochs=4,
    num_minibatches=4,
    learning_rate=1e-3,
    max_grad_norm=0.5,
    gamma=0.99,
    gae_lambda=0.95,
    clip_eps=0.2,
    ent_coef=0.0,
    vf_coef=0.5,
    total_timesteps=STEPS,
    eval_freq=STEPS,
    skip_initial_evaluation=True,
).replace(eval_callback=lambda algorithm, state, key: ())  # no evaluation inside the timed program
program = jax.jit(lambda state: algorithm.train(train_state=state)[0])
state = None


def chunk() -> dict:
    global state
    state = jax.block_until_ready(program(state))
    return {"steps": STEPS}


def first() -> dict:
    global state
    watch()
    state = algorithm.init_state(jax.random.key(0))
    return {**chunk(), **compile_s()}


def score() -> dict:
    """Mean return of the sampled policy after UPDATES updates, for every seed."""
    returns = []
    for seed in range(TEST_SEEDS):
        act = algorithm.make_act(program(algorithm.init_state(jax.random.key(seed))))
        key = jax.random.key(1_000 + seed)
        _, scores = evaluate(act, key, algorithm.env, algorithm.env_params, TESTS, 500)
        returns.append(float(scores.mean()))
    return {"returns": returns}


serve(first, {"chunk": chunk, "score": score})
