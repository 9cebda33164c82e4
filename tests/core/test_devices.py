"""A batch in parts on several devices gives what one device gives."""

import os
import subprocess
import sys

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from theodolite.core import devices
devices.one_per_core()
many = jax.local_device_count()
f = lambda w, x: (x @ w).sum(-1)
g = jax.jit(jax.value_and_grad(lambda w, x: (devices.spread(f, w, x) ** 2).sum(), (0, 1)))
for rows in (6, 7):
    w, x = jax.random.normal(jax.random.key(0), (3, 2)), jax.random.normal(jax.random.key(1), (rows, 3))
    value, (by_w, by_x) = g(w, x)
    plain = jax.value_and_grad(lambda w, x: (f(w, x) ** 2).sum(), (0, 1))(w, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), (value, (by_w, by_x)), plain)
print(many)
"""


def found(**env: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **env}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_parts_on_all_devices_are_the_whole_and_a_chosen_number_is_heeded():
    assert found(JAX_NUM_CPU_DEVICES="3") == 3
