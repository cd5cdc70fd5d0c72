"""Trainings by two processes: run as `two_processes.py PROCESS PORT WHAT...`, prints one line of JSON for each.

WHAT is an optimizer, whose training is compared with that of process 0 alone, or one of `first` (numbers of process 0),
`calibrations` (measured apart), `link` (measured together, before anything else), `unlike` (optimizers that differ) and
`killed` (process 1 ends itself after a step). In trainings the link counts as free, so that systems of this size have
owners.
"""

import json
import os
import sys
import time

import jax

PROCESS, PORT = int(sys.argv[1]), sys.argv[2]
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"localhost:{PORT}", 2, PROCESS, heartbeat_timeout_seconds=20)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from jax.sharding import AxisType, NamedSharding  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import qnewton as qn  # noqa: E402
from qnewton._core.trees import distinct  # noqa: E402
from qnewton._devices.processes import of_first  # noqa: E402
from qnewton._hardware import rated_machine  # noqa: E402
from qnewton._hardware.link import Link  # noqa: E402
from qnewton._scheduling.owners import links  # noqa: E402

STEPS = 10


def predict(params, x):
    return jnp.tanh(x @ params["w"] + params["b"]) @ params["v"]


def loss(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1)


OBJECTIVE = qn.Objective(predict, loss, l2=0.05)
RANDOM = np.random.default_rng(0)
PARAMS = {
    "w": RANDOM.normal(size=(8, 16)).astype("f") / 3,
    "b": np.zeros(16, "f"),
    "v": RANDOM.normal(size=(16, 8)).astype("f") / 4,
}
BATCH = (RANDOM.normal(size=(64, 8)).astype("f"), RANDOM.normal(size=(64, 8)).astype("f"))
MESH = jax.make_mesh((2,), ("d",), axis_types=(AxisType.Auto,))

OPTIMIZERS = {
    "newton": lambda: qn.newton(OBJECTIVE),
    "hybrid": lambda: qn.newton(OBJECTIVE, solver=qn.Hybrid()),
    "cg": lambda: qn.newton(OBJECTIVE, solver=qn.CG()),
    "cholesky": lambda: qn.newton(OBJECTIVE, solver=qn.Cholesky()),
    "tensors": lambda: qn.newton(OBJECTIVE, solver=qn.Cholesky(), partition=qn.per_tensor),
    "rule": lambda: qn.newton(OBJECTIVE, solver=qn.CG(rtol=1e-5), step=qn.QuadraticModel()),
    "kfac": lambda: qn.kfac(OBJECTIVE),
    "clip": lambda: qn.kfac(OBJECTIVE, step=qn.KLClip()),
    "kept": lambda: qn.newton(OBJECTIVE, family=("kfac", "fisher")),
    "recipe": lambda: qn.recipe(OBJECTIVE, PARAMS, BATCH),
    "dual": lambda: qn.dual_newton(OBJECTIVE),
    "fisher": lambda: qn.fisher_newton(OBJECTIVE, refresh=3),
}


def trained(optimizer, params, batch, steps=STEPS):
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, batch):
        value, gradient = jax.value_and_grad(OBJECTIVE)(params, batch)
        updates, state = optimizer.update(gradient, state, params, batch=batch)
        return optax.apply_updates(params, updates), state, value

    losses = []
    for _ in range(steps):
        params, state, value = step(params, state, batch)
        losses.append(float(value))
    return losses, state


def everywhere(tree, spec):
    """On both processes' devices; each has all of the numbers, and gives its part."""
    laid = NamedSharding(MESH, spec)
    return jax.tree.map(lambda leaf: jax.make_array_from_callback(leaf.shape, laid, lambda part: leaf[part]), tree)


def together(optimizer, steps=STEPS):
    return trained(optimizer, everywhere(PARAMS, P()), everywhere(BATCH, P("d")), steps)


def compared(name):
    links.set(Link(2, 0.0, 0.0, 0.0))
    losses, state = together(OPTIMIZERS[name]())
    alone, _ = trained(OPTIMIZERS[name](), jax.tree.map(jnp.asarray, PARAMS), jax.tree.map(jnp.asarray, BATCH))
    worst = max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(alone, losses, strict=True))
    return {"losses": worst, "falls": losses[-1] < losses[0], "owners": owners_of(state)}


def owners_of(state):
    """Of all set-ups of the last refresh."""
    groups = getattr(getattr(state, "info", None), "systems", ())
    blocks = [block.owner for block in getattr(getattr(state, "info", None), "blocks", ())]
    found = [np.ravel(owner.addressable_data(0)) for owner in (*(group.owners for group in groups), *blocks)]
    return np.concatenate(found).tolist() if found else []


def link():
    found = links(2)
    assert found is not None
    return {"call": found.seconds_per_call, "byte": found.seconds_per_byte, "basis": found.basis}


def calibrations():
    """To each process another solver is the fastest; what a step takes is the choice of process 0."""
    rated = rated_machine(["cholesky", "lu"], "float32", probe=False)
    kernels = [name for name, _ in rated.kernels]
    slower = {"cholesky": 1e6 if PROCESS == 0 else 1.0, "lu": 1.0 if PROCESS == 0 else 1e6}
    scheduler = qn.Hybrid([qn.Cholesky(), qn.LU()], classical=rated.corrected(slower))
    losses, state = together(qn.newton(OBJECTIVE, solver=scheduler), steps=2)
    plan = state.info.blocks[0].plan
    return {
        "kernels": kernels,
        "choice": int(np.asarray(plan.choice.addressable_data(0))[0]),
        "losses": losses,
    }


def first():
    """What process 0 makes is everybody's, and so is its failure."""

    def fails():
        raise OSError("nothing to read")

    try:
        failed = of_first("a failure", fails)
    except (OSError, RuntimeError) as error:
        failed = f"{type(error).__name__}: {error}"
    held = everywhere(PARAMS, P())["w"]
    kept, copied = distinct((held, held))
    buffers = {array.addressable_data(0).unsafe_buffer_pointer() for array in (kept, copied)}
    same = copied.sharding == held.sharding and np.array_equal(copied.addressable_data(0), PARAMS["w"])
    return {
        "made": of_first("a number", lambda: 10 + PROCESS),
        "failed": failed,
        "copied": same and len(buffers) == 2,
    }


def unlike():
    began = time.monotonic()
    try:
        together(qn.newton(OBJECTIVE, solver=qn.CG() if PROCESS == 0 else qn.Cholesky()), steps=1)
    except ValueError as error:
        return {"error": str(error), "seconds": time.monotonic() - began}
    return {"error": None}


def killed():
    optimizer = qn.kfac(OBJECTIVE)
    params, batch = everywhere(PARAMS, P()), everywhere(BATCH, P("d"))
    state = optimizer.init(params)
    update = jax.jit(lambda p, s, b: optimizer.update(jax.grad(OBJECTIVE)(p, b), s, p, batch=b))
    jax.block_until_ready(update(params, state, batch))
    print(json.dumps({"what": "stepped"}), flush=True)
    if PROCESS == 1:
        os._exit(9)
    while True:
        jax.block_until_ready(update(params, state, batch))


if __name__ == "__main__":
    special = {"first": first, "link": link, "calibrations": calibrations, "unlike": unlike, "killed": killed}
    for what in sys.argv[3:]:
        found = special[what]() if what in special else compared(what)
        print(json.dumps({"what": what, **found}), flush=True)
