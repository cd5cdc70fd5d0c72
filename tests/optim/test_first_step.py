"""What a first step waits for: nothing is compiled before it, and its bookkeeping is compiled as few kernels."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import qnewton as q

INPUTS, TARGETS = jnp.linspace(-1, 1, 300).reshape(100, 3), jnp.linspace(0, 1, 200).reshape(100, 2)
START = {"w": jnp.linspace(-1, 1, 24).reshape(3, 8), "b": jnp.zeros(8), "v": jnp.linspace(0, 1, 16).reshape(8, 2)}
OWN = q.Objective(
    lambda params, x: jnp.tanh(x @ params["w"] + params["b"]) @ params["v"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1)
)

SCRIPT = """
import jax, numpy as np
import qnewton as q

own = q.Objective(lambda w, x: x @ w, lambda z, y: ((z - y) ** 2).sum(-1))
batch, start = (np.ones((9, 3), np.float32), np.ones((9, 2), np.float32)), jax.device_put(np.ones((3, 2), np.float32))
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **found: compiled.append(found) if "backend_compile" in event else None
)
for optimizer in (q.newton(own, example=batch), q.dual_newton(own), q.newton(own, solver=q.Cholesky())):
    optimizer.init(start)
    assert compiled == [], compiled
"""


def test_an_initial_state_compiles_nothing() -> None:
    """Each operation outside of a trace would be a program of its own, as slow to compile as a kernel of the step."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other compilers have no such kernel")
def test_the_bookkeeping_of_a_fit_is_five_kernels() -> None:
    """XLA makes one kernel of a loop that touches less than 1 kB, and of one byte more as many as it has results."""
    optimizer = q.newton(OWN, example=(INPUTS, TARGETS))
    zeros = jax.tree.map(jnp.zeros_like, START)  # a fit does not read gradients

    def step(params, state, batch):
        return optimizer.update(zeros, state, params, batch=batch)

    text = jax.jit(step).lower(START, optimizer.init(START), (INPUTS, TARGETS)).compile().as_text()
    assert text is not None
    assert text.count('xla_cpu_small_call="true"') == 5
