"""Trainings on many host devices against the same on one: run as `one_process.py DEVICES CASE...`, prints JSON.

A case is `OPTIMIZER/AXES/LAYOUT`: axes `auto` or `explicit`, or `mapped` for `shard_map` and `axis_name=`; layout
`copies` (parameters on every device), `rows` or `columns` (weights split along their first or second axis). The link
counts as free, so that systems of this size have owners.
"""

import json
import os
import sys

DEVICES = int(sys.argv[1])
# Beside what the tests tell the compiler.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402
from jax.sharding import AxisType, NamedSharding  # noqa: E402
from jax.sharding import PartitionSpec as P  # noqa: E402

import qnewton as qn  # noqa: E402
from qnewton._hardware.link import Link  # noqa: E402
from qnewton._scheduling.owners import links  # noqa: E402

links.set(Link(DEVICES, 0.0, 0.0, 0.0))
STEPS = 10
KINDS = {"auto": AxisType.Auto, "explicit": AxisType.Explicit}


def predict(params, x):
    # Weights are gathered where they are used, as fully sharded training does; over automatic axes a hint.
    w, v = (jax.sharding.reshard(params[name], P(None, None)) if EXPLICIT else params[name] for name in ("w", "v"))
    return jnp.tanh(x @ w + params["b"]) @ v


def loss(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1)


EXPLICIT = False
OBJECTIVE = qn.Objective(predict, loss, l2=0.05)
KEYS = jax.random.split(jax.random.key(0), 4)
PARAMS = {
    "w": jax.random.normal(KEYS[0], (8, 16)) / 3,
    "b": jnp.zeros(16),
    "v": jax.random.normal(KEYS[1], (16, 8)) / 4,
}
BATCH = (jax.random.normal(KEYS[2], (64, 8)), jax.random.normal(KEYS[3], (64, 8)))
LAYOUTS = {"copies": None, "rows": P("d", None), "columns": P(None, "d")}

OPTIMIZERS = {
    "newton": lambda **own: qn.newton(OBJECTIVE, **own),
    "blocks": lambda **own: qn.newton(OBJECTIVE, family="blocks", **own),
    "hybrid": lambda **own: qn.newton(OBJECTIVE, solver=qn.Hybrid(), partition=qn.per_tensor, **own),
    "cholesky": lambda **own: qn.newton(OBJECTIVE, solver=qn.Cholesky(), **own),
    "tensors": lambda **own: qn.newton(OBJECTIVE, solver=qn.Cholesky(), partition=qn.per_tensor, **own),
    "cg": lambda **own: qn.newton(OBJECTIVE, solver=qn.CG(), **own),
    # To a residual at which the solution no longer depends on the order of its sums.
    "rule": lambda **own: qn.newton(OBJECTIVE, solver=qn.CG(rtol=1e-5), step=qn.QuadraticModel(), **own),
    "kfac": lambda **own: qn.kfac(OBJECTIVE, **own),
    "clip": lambda **own: qn.kfac(OBJECTIVE, step=qn.KLClip(), **own),
    "dual": lambda **own: qn.dual_newton(OBJECTIVE, **own),
    "fisher": lambda **own: qn.fisher_newton(OBJECTIVE, refresh=3, **own),
    "kept": lambda **own: qn.newton(OBJECTIVE, family=("kfac", "fisher"), **own),
    "recipe": lambda **own: qn.recipe(OBJECTIVE, PARAMS, BATCH, **own),
    "adam": lambda **own: optax.with_extra_args_support(optax.adam(1e-2)),
}


def trained(optimizer, params, batch, around=lambda step: step):
    """Losses, the last parameters and states, and how often the step was compiled."""
    state = optimizer.init(params)

    @jax.jit
    @around
    def step(params, state, batch):
        value, gradient = jax.value_and_grad(OBJECTIVE)(params, batch)
        updates, state = optimizer.update(gradient, state, params, batch=batch)
        return optax.apply_updates(params, updates), state, value, updates

    losses, laid, updates = [], [laid_out(state)], None
    for _ in range(STEPS):
        params, state, value, updates = step(params, state, batch)
        losses.append(float(value))
        laid.append(laid_out(state))
    return losses, params, updates, laid, step._cache_size()  # pyright: ignore[reportAttributeAccessIssue]


def laid_out(tree):
    return [(leaf.sharding, leaf.ndim) for leaf in jax.tree.leaves(tree)]


def alike(one, other):
    """Equal but for the two ways in which jax writes that an array is not divided."""
    return all(a.is_equivalent_to(b, ndim) for (a, ndim), (b, _) in zip(one, other, strict=True))


def difference(one, other):
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in zip(one, other, strict=True))


def apart(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.max(jnp.abs(jax.device_get(a) - jax.device_get(b)))) for a, b in pairs)


def falls(losses):
    return losses[-1] < losses[0]


def mapped(step):
    """Each replica's own examples; the value is the mean of theirs."""

    def spread(params, state, batch):
        params, state, value, updates = step(params, state, batch)
        return params, state, jax.lax.pmean(value, "d"), updates

    mesh = jax.make_mesh((DEVICES,), ("d",), axis_types=(AxisType.Auto,))
    return jax.shard_map(spread, mesh=mesh, in_specs=(P(), P(), P("d")), out_specs=P())


def compared(optimizer, axes, layout):
    global EXPLICIT
    EXPLICIT = False
    expected, last, *_ = trained(OPTIMIZERS[optimizer](), PARAMS, BATCH)
    if axes == "mapped":
        losses, after, *_ = trained(OPTIMIZERS[optimizer](axis_name="d"), PARAMS, BATCH, mapped)
        return {"losses": difference(expected, losses), "parameters": apart(last, after), "falls": falls(losses)}
    mesh = jax.make_mesh((DEVICES,), ("d",), axis_types=(KINDS[axes],))
    # As jax itself writes that an array is not divided; otherwise the second step is compiled anew, with any optimizer.
    undivided = (lambda ndim: P(*[None] * ndim)) if axes == "explicit" else (lambda ndim: P())
    specs = {"w": LAYOUTS[layout] or undivided(2), "b": undivided(1), "v": LAYOUTS[layout] or undivided(2)}
    params = jax.tree.map(lambda leaf, spec: jax.device_put(leaf, NamedSharding(mesh, spec)), PARAMS, specs)
    batch = jax.device_put(BATCH, NamedSharding(mesh, P("d", None)))
    with jax.set_mesh(mesh):
        EXPLICIT = axes == "explicit"
        losses, after, updates, laid, compiled = trained(OPTIMIZERS[optimizer](), params, batch)
    kept = [
        leaf.sharding.is_equivalent_to(before.sharding, leaf.ndim)
        for tree in (after, updates)
        for leaf, before in zip(jax.tree.leaves(tree), jax.tree.leaves(params), strict=True)
    ]
    return {
        "losses": difference(expected, losses),
        "parameters": apart(last, after),
        "falls": falls(losses),
        "compiled": compiled,
        "parameters stay where they were": all(kept),
        "state stays where it was": all(alike(one, laid[0]) for one in laid),
    }


if __name__ == "__main__":
    print(json.dumps({case: compared(*case.split("/")) for case in sys.argv[2:]}))
