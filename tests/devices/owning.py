"""Factorisations by their owners: run as `owning.py DEVICES CASE...`, prints JSON of case to outcome.

The link counts as free here, so that systems of this size are dealt out at all. How often something is factorised is
counted where it happens: a callback in each factorisation, which runs as often as its branch does.
"""

import json
import os
import re
import sys
from collections import Counter
from functools import cache, partial

DEVICES = int(sys.argv[1])
# Beside what the tests tell the compiler.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from jax.sharding import AxisType, NamedSharding  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import qnewton as qn  # noqa: E402
from qnewton._hardware.link import Link  # noqa: E402
from qnewton._scheduling.owners import links  # noqa: E402
from qnewton._solvers import direct  # noqa: E402

STEPS = 10
KEYS = jax.random.split(jax.random.key(0), 5)
PARAMS = {
    "w": jax.random.normal(KEYS[0], (8, 16)) / 3,
    "b": jnp.zeros(16),
    "u": jax.random.normal(KEYS[4], (16, 12)) / 4,
    "v": jax.random.normal(KEYS[1], (12, 8)) / 4,
}
BATCH = (jax.random.normal(KEYS[2], (64, 8)), jax.random.normal(KEYS[3], (64, 8)))
MESH = jax.make_mesh((DEVICES,), ("d",), axis_types=(AxisType.Auto,))


def predict(params, x):
    return jnp.tanh(jnp.tanh(x @ params["w"] + params["b"]) @ params["u"]) @ params["v"]


def loss(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1)


OBJECTIVE = qn.Objective(predict, loss, l2=0.05)
MADE = Counter()
"""Of each name, how many matrices of which size were factorised."""


def counted(name, function):
    def factorised(matrix, **options):
        jax.debug.callback(lambda: MADE.update([f"{name} {matrix.shape[-1]}"]))
        return function(matrix, **options)

    return factorised


# What the solvers call, and nothing else of these steps does.
jax.lax.linalg.cholesky = counted("cholesky", jax.lax.linalg.cholesky)
jnp.linalg.eigh = counted("eigh", jnp.linalg.eigh)
direct.lu_factor = counted("lu", direct.lu_factor)  # pyright: ignore[reportPrivateImportUsage]


OPTIMIZERS = {
    "kfac": lambda **own: qn.kfac(OBJECTIVE, solver=qn.Inverse(), refresh=STEPS, **own),
    "fisher": lambda **own: qn.fisher_newton(OBJECTIVE, solver=qn.Inverse(), refresh=STEPS, **own),
    "cholesky": lambda **own: qn.newton(OBJECTIVE, solver=qn.Cholesky(), partition=qn.per_tensor, **own),
    "lu": lambda **own: qn.newton(OBJECTIVE, solver=qn.LU(), partition=qn.per_tensor, **own),
    "eigh": lambda **own: qn.newton(OBJECTIVE, solver=qn.Eigh(), partition=qn.per_tensor, **own),
    "cg": lambda **own: qn.newton(OBJECTIVE, solver=qn.CG(), **own),
    "dual": lambda **own: qn.dual_newton(OBJECTIVE, solver=qn.Cholesky(), **own),
}


def step_of(optimizer):
    def step(params, state, batch):
        value, gradient = jax.value_and_grad(OBJECTIVE)(params, batch)
        updates, state = optimizer.update(gradient, state, params, batch=batch)
        return optax.apply_updates(params, updates), state, value

    return step


def trained(step, state, params, batch):
    MADE.clear()
    losses, owners = [], None
    for _ in range(STEPS):
        params, state, _ = step(params, state, batch)
        losses.append(float(OBJECTIVE(jax.device_get(params), BATCH)))
        owners = owners or owners_of(state.info)
    jax.effects_barrier()
    return {"losses": losses, "made": dict(MADE), "owners": owners}


def owners_of(info):
    if hasattr(info, "blocks"):
        return [int(block.owner) for block in info.blocks]
    return [int(owner) for group in info.systems for owner in np.ravel(jax.device_get(group.owners))]


@cache
def alone_of(name):
    optimizer = OPTIMIZERS[name]()
    return trained(jax.jit(step_of(optimizer)), optimizer.init(PARAMS), PARAMS, BATCH)


def compared(name, where):
    """Alone, and by all devices: on a mesh, or in `shard_map` with and without its book of what varies."""
    alone, optimizer = alone_of(name), OPTIMIZERS[name]()
    if where == "mesh":
        params = jax.device_put(PARAMS, NamedSharding(MESH, P()))
        batch = jax.device_put(BATCH, NamedSharding(MESH, P("d")))
        together = trained(jax.jit(step_of(optimizer)), optimizer.init(params), params, batch)
    else:
        optimizer = OPTIMIZERS[name](axis_name="d")
        spread = jax.shard_map(
            lambda *given: step_of(optimizer)(*given)[:2],
            mesh=MESH,
            in_specs=(P(), P(), P("d")),
            out_specs=(P(), P()),
            check_vma=where == "tracked",
        )
        step = jax.jit(lambda *given: (*spread(*given), 0.0))
        together = trained(step, optimizer.init(PARAMS), PARAMS, BATCH)
    worst = max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(alone["losses"], together["losses"], strict=True))
    return {
        "losses": worst,
        "falls": together["losses"][-1] < together["losses"][0],
        "alone": alone["made"],
        "together": together["made"],
        "owners": together["owners"],
    }


def work(name):
    """Operations of one replica's step inside of mapped axes over those of one device with the whole batch."""
    batch = jax.tree.map(lambda leaf: jnp.tile(leaf, (32, 1)), BATCH)

    def operations(optimizer, around):
        state = optimizer.init(PARAMS)
        return around(lambda *given: step_of(optimizer)(*given)[:2], state)

    def counted_in(step, state):
        costs = jax.jit(step).lower(PARAMS, state, batch).cost_analysis()
        assert costs is not None
        return costs["flops"]

    def mapped(step, state):
        return counted_in(jax.shard_map(step, mesh=MESH, in_specs=(P(), P(), P("d")), out_specs=(P(), P())), state)

    return operations(OPTIMIZERS[name](axis_name="d"), mapped) / operations(OPTIMIZERS[name](), counted_in)


def priced():
    """With a link that is slow nothing is exchanged, and every device makes everything."""
    links.set(Link(DEVICES, 1.0, 1e-3, 1e-3))
    found = compared("kfac", "untracked")
    links.set(Link(DEVICES, 0.0, 0.0, 0.0))
    return found


def factors_summed():
    """How many sums of input factors 9 x 9 a step of `kfac` on a mesh holds, over a free link and over a slow one."""
    optimizer = OPTIMIZERS["kfac"]()
    params = jax.device_put(PARAMS, NamedSharding(MESH, P()))
    batch = jax.device_put(BATCH, NamedSharding(MESH, P("d")))
    found = []
    for link in (Link(DEVICES, 0.0, 0.0, 0.0), Link(DEVICES, 1.0, 1e-3, 1e-3)):
        links.set(link)
        step = jax.jit(lambda *given: step_of(optimizer)(*given)[:2])
        text = step.lower(params, optimizer.init(params), batch).compile().as_text() or ""
        sums = [line.split(" all-reduce")[0] for line in text.splitlines() if " all-reduce(" in line]
        found.append(sum(line.count("f32[9,9]") for line in sums))
    links.set(Link(DEVICES, 0.0, 0.0, 0.0))
    return found


def moved(name):
    """What the compiled step on a mesh moves between devices other than sums, and how many sums there are."""
    optimizer = OPTIMIZERS[name]()
    params = jax.device_put(PARAMS, NamedSharding(MESH, P()))
    batch = jax.device_put(BATCH, NamedSharding(MESH, P("d")))
    step = jax.jit(lambda *given: step_of(optimizer)(*given)[:2])
    text = step.lower(params, optimizer.init(params), batch).compile().as_text() or ""
    others = re.findall(r" (all-gather|all-to-all|collective-permute)(?:-start)?\(", text)
    return {"others": others, "sums": len(re.findall(r" all-reduce(?:-start)?\(", text))}


def outcome(what, *of):
    return {"priced": priced, "work": work, "moved": moved, "factors": factors_summed}.get(
        what, partial(compared, what)
    )(*of)


if __name__ == "__main__":
    links.set(Link(DEVICES, 0.0, 0.0, 0.0))
    print(json.dumps({case: outcome(*case.split("/")) for case in sys.argv[2:]}))
