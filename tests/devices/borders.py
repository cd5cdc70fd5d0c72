"""Single points of `docs/devices.md` on four host devices: run as `borders.py`, prints JSON of case to outcome.

An outcome is a number (a difference that is to be small), a truth, or the text of the error that came.
"""

import json
import os
import sys
from functools import partial

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import qnewton as qn

KEYS = jax.random.split(jax.random.key(0), 6)
PARAMS = {"w": jax.random.normal(KEYS[0], (3, 4)), "v": jax.random.normal(KEYS[1], (4, 4))}
X, Y = jax.random.normal(KEYS[2], (16, 3)), jax.random.normal(KEYS[3], (16, 4))
WEIGHTS = jax.random.uniform(KEYS[4], (16,))
EXPLICIT = jax.make_mesh((4,), ("d",))
AUTO = jax.make_mesh((4,), ("d",), axis_types=(AxisType.Auto,))


def predict(params, x):
    return jnp.tanh(x @ params["w"]) @ params["v"]


def squares(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=-1)


def weighted(outputs, targets):
    return squares(outputs, targets[0]), targets[1]


PLAIN = qn.Objective(predict, squares, l2=1e-2)
WEIGHTED = qn.Objective(predict, weighted, l2=1e-2)
OPTIMIZERS = {
    "newton": qn.newton,
    "cholesky": partial(qn.newton, solver=qn.Cholesky()),
    "cg": partial(qn.newton, solver=qn.CG()),
    "kfac": qn.kfac,
    "dual_newton": qn.dual_newton,
    "fisher_newton": qn.fisher_newton,
    "recipe": lambda objective, **given: qn.recipe(objective, PARAMS, (X, (Y, WEIGHTS)), **given),
}


def spread(mesh, batch=(X, Y)):
    return jax.device_put((PARAMS, batch), (NamedSharding(mesh, P()), NamedSharding(mesh, P("d"))))


def wrong_axis():
    return said(lambda: qn.devices.shard_batch((X, Y), AUTO, "data"))


def no_divisor():
    return said(lambda: qn.devices.shard_batch((X[:14], Y[:14]), AUTO, "d"))


def helped():
    """Shared arrays and scalars get copies, examples are spread."""
    inputs = {"x": X, "shared": qn.Shared(jnp.ones(3)), "scale": jnp.ones(())}
    (placed, targets), params = qn.devices.shard_batch((inputs, Y), AUTO, "d"), qn.devices.replicate(PARAMS, AUTO)
    laid = [leaf.sharding.spec for leaf in (placed["x"], placed["shared"].value, placed["scale"], targets, params["w"])]
    return 0.0 if laid == [P("d"), P(), P(), P("d"), P()] else str(laid)


def spectra():
    params, batch = spread(EXPLICIT)
    found, alone = qn.spectrum(PLAIN, params, batch), qn.spectrum(PLAIN, PARAMS, (X, Y))
    return apart(found[0].eigenvalues, alone[0].eigenvalues)


def steps(objective, optimizer, count=3):
    def step(params, state, batch):
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    def run(params, batch):
        state = optimizer.init(params)
        for _ in range(count):
            params, state = step(params, state, batch)
        return params

    return run


def apart(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.max(np.abs(np.asarray(a) - np.asarray(b)))) for a, b in pairs)


def replicas_apart(tree):
    parts = [
        (leaf.addressable_data(0), part.data) for leaf in jax.tree.leaves(tree) for part in leaf.addressable_shards
    ]
    return max(apart(first, other) for first, other in parts)


def member(tree, k):
    return jax.tree.map(lambda leaf: leaf[k], tree)


def said(run):
    try:
        return str(run())
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


# Meshes.


def eager():
    """Explicit axes, outside of jit."""
    params, batch = spread(EXPLICIT)
    with jax.set_mesh(EXPLICIT):
        after = steps(PLAIN, qn.kfac(PLAIN), 2)(params, batch)
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(params), strict=True)
    alike = all(a.sharding.is_equivalent_to(b.sharding, a.ndim) for a, b in pairs)
    return apart(after, steps(PLAIN, qn.kfac(PLAIN), 2)(PARAMS, (X, Y))) if alike else "moved"


def plain_in_context():
    """Arrays that lie on no mesh, outside of jit, where a mesh with explicit axes is set."""
    with jax.set_mesh(EXPLICIT):
        found = steps(PLAIN, qn.fisher_newton(PLAIN))(PARAMS, (X, Y))
    return apart(found, steps(PLAIN, qn.fisher_newton(PLAIN))(PARAMS, (X, Y)))


def scanned():
    """State and parameters keep their types, or `scan` refuses."""
    optimizer = qn.fisher_newton(PLAIN)

    def run(params, state, batch):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(PLAIN)(params, batch), state, params, batch=batch)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, state), None, length=3)[0][0]

    params, batch = spread(EXPLICIT)
    return apart(jax.jit(run)(params, optimizer.init(params), batch), run(PARAMS, optimizer.init(PARAMS), (X, Y)))


def frozen():
    def after(params, batch):
        trained, merge = qn.freeze(params, "w")
        objective = qn.Objective(lambda p, x: predict(merge(p), x), squares)
        return jax.jit(steps(objective, qn.kfac(objective, example=X)))(trained, batch)

    return apart(after(*spread(EXPLICIT)), after(PARAMS, (X, Y)))


def closed_over():
    params, batch = spread(EXPLICIT)
    offset = jax.device_put(jnp.ones(4), NamedSharding(EXPLICIT, P()))
    objective = qn.Objective(lambda p, x: predict(p, x) + offset, squares)
    return said(lambda: jax.jit(steps(objective, qn.kfac(objective)))(params, batch))


def keyed():
    """Each example under a key of its own, in the objective and in the step."""

    def noisy(params, x, key):
        return predict(params, x) + 0.1 * jax.random.normal(key, (*x.shape[:1], 4))

    objective = qn.Objective(noisy, squares)
    optimizer = qn.newton(objective, solver=qn.Cholesky())

    @jax.jit
    def step(params, state, batch, key):
        return optimizer.update(jax.grad(objective)(params, batch, key), state, params, batch=batch, key=key)[0]

    params, batch = spread(EXPLICIT)
    found = step(params, optimizer.init(params), batch, jax.random.key(1))
    return apart(found, step(PARAMS, optimizer.init(PARAMS), (X, Y), jax.random.key(1)))


def constrained():
    """A hint in the model, on automatic axes and on explicit ones."""

    def hinted(params, x):
        hidden = jnp.tanh(x @ jax.lax.with_sharding_constraint(params["w"], NamedSharding(AUTO, P())))
        return hidden @ params["v"]

    objective = qn.Objective(hinted, squares, l2=1e-2)
    found = jax.jit(steps(objective, qn.kfac(objective)))(*spread(AUTO))
    return apart(found, steps(PLAIN, qn.kfac(PLAIN))(PARAMS, (X, Y)))


def recipe():
    """Chosen by arrays on explicit axes."""
    params, batch = spread(EXPLICIT)
    found = jax.jit(steps(PLAIN, qn.recipe(PLAIN, params, batch)))(params, batch)
    return apart(found, steps(PLAIN, qn.recipe(PLAIN, PARAMS, (X, Y)))(PARAMS, (X, Y)))


def named_inside():
    """What names an explicit axis inside of the model is jax's to refuse, in its own words."""

    def named(params, x):
        return jnp.einsum("bi,io->bo", jnp.tanh(x @ params["w"]), params["v"], out_sharding=P("d", None))

    objective = qn.Objective(named, squares)
    params, batch = spread(EXPLICIT)
    with jax.set_mesh(EXPLICIT):
        return said(lambda: jax.jit(steps(objective, qn.kfac(objective)))(params, batch))


def asked_inside():
    """The way out that the page gives: name axes where they are explicit."""

    def asking(params, x):
        laid = P("d", None) if jax.sharding.get_abstract_mesh().explicit_axes else None
        return jnp.einsum("bi,io->bo", jnp.tanh(x @ params["w"]), params["v"], out_sharding=laid)

    objective = qn.Objective(asking, squares, l2=1e-2)
    params, batch = spread(EXPLICIT)
    with jax.set_mesh(EXPLICIT):
        found = jax.jit(steps(objective, qn.kfac(objective)))(params, batch)
    return apart(found, steps(PLAIN, qn.kfac(PLAIN))(PARAMS, (X, Y)))


def injected():
    def made(learning_rate):
        return qn.newton(PLAIN, learning_rate, solver=qn.Cholesky(), adaptation=qn.Fixed())

    def after(params, batch):
        return jax.jit(steps(PLAIN, optax.inject_hyperparams(made)(0.5)))(params, batch)

    return apart(after(*spread(EXPLICIT)), after(PARAMS, (X, Y)))


def other_devices():
    params = jax.device_put(PARAMS, NamedSharding(Mesh(np.array(jax.devices()[:2]), ("d",)), P()))
    batch = jax.device_put((X, Y), NamedSharding(Mesh(np.array(jax.devices()[2:]), ("d",)), P("d")))
    optimizer = qn.kfac(PLAIN)
    return said(lambda: optimizer.update(params, optimizer.init(params), params, batch=batch))


def other_mesh():
    params, _ = spread(EXPLICIT)
    _, batch = spread(jax.make_mesh((2, 2), ("d", "e")))
    optimizer = qn.kfac(PLAIN)
    return said(lambda: jax.jit(partial(optimizer.update))(params, optimizer.init(params), params, batch=batch))


# Mapped axes.


def mapped(name, check=True, names="d", mesh=AUTO, batch_spec=P("d"), transformed=jax.grad, **given):
    objective, batch = WEIGHTED, (X, (Y, WEIGHTS))
    optimizer = OPTIMIZERS[name](objective, **given)

    def step(params, state, batch):
        updates, state = optimizer.update(transformed(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    step = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(), batch_spec), out_specs=(P(), P()), check_vma=check)
    step = jax.jit(step)
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(3):
        params, state = step(params, state, batch)
    return params


def equal(name, check):
    found = mapped(name, check, axis_name="d")
    alone = jax.jit(steps(WEIGHTED, OPTIMIZERS[name](WEIGHTED)))(PARAMS, (X, (Y, WEIGHTS)))
    return {"against one device": apart(found, alone), "replicas": replicas_apart(found)}


def two_axes():
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    found = mapped("kfac", True, mesh=mesh, batch_spec=P(("a", "b")), axis_name=("a", "b"))
    return apart(found, steps(WEIGHTED, qn.kfac(WEIGHTED))(PARAMS, (X, (Y, WEIGHTS))))


def one_of_two_axes():
    """Over the other axis, the batch is seen not to vary."""
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    found = mapped("kfac", True, mesh=mesh, batch_spec=P("a"), axis_name="a")
    return apart(found, steps(WEIGHTED, qn.kfac(WEIGHTED))(PARAMS, (X, (Y, WEIGHTS))))


def batch_everywhere():
    """Nothing to reduce: every replica has all of the batch, and `shard_map` knows."""
    found = mapped("fisher_newton", True, batch_spec=P())
    return apart(found, steps(WEIGHTED, qn.fisher_newton(WEIGHTED))(PARAMS, (X, (Y, WEIGHTS))))


def ensemble():
    """Members that train alone, by `axis_name=()`."""
    optimizer = qn.fisher_newton(PLAIN, axis_name=())
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, 3 * leaf, 4 * leaf]), PARAMS)

    def run(params):
        return jax.tree.map(lambda leaf: leaf[None], steps(PLAIN, optimizer)(member(params, 0), (X, Y)))

    found = jax.jit(jax.shard_map(run, mesh=AUTO, in_specs=P("d"), out_specs=P("d"), check_vma=False))(members)
    alone = steps(PLAIN, qn.fisher_newton(PLAIN))
    return max(apart(member(found, k), alone(member(members, k), (X, Y))) for k in range(4))


def vmapped(**given):
    pieces = jax.tree.map(lambda leaf: leaf.reshape(4, 4, *leaf.shape[1:]), (X, Y))
    run = steps(PLAIN, qn.kfac(PLAIN, **given))
    return jax.vmap(lambda batch: run(PARAMS, batch), axis_name="d")(pieces)


def in_vmap():
    found, alone = vmapped(axis_name="d"), steps(PLAIN, qn.kfac(PLAIN))(PARAMS, (X, Y))
    return max(apart(member(found, k), alone) for k in range(4))


def unnamed_pmap(**named):
    pieces = jax.tree.map(lambda leaf: leaf.reshape(4, 4, *leaf.shape[1:]), (X, Y))
    run = steps(PLAIN, qn.kfac(PLAIN))
    return said(lambda: jax.pmap(lambda batch: run(PARAMS, batch), **named)(pieces))


def noise_apart():
    optimizer = qn.kfac(PLAIN, axis_name="d")

    def step(params, batch):
        key = jax.random.fold_in(jax.random.key(0), jax.lax.axis_index("d"))
        return optimizer.update(params, optimizer.init(params), params, batch=batch, key=key)[0]

    run = jax.shard_map(step, mesh=AUTO, in_specs=(P(), P("d")), out_specs=P())
    return said(lambda: run(PARAMS, (X, Y)))


CASES = {
    "eager": eager,
    "plain in context": plain_in_context,
    "scanned": scanned,
    "frozen": frozen,
    "closed over": closed_over,
    "keyed": keyed,
    "constrained": constrained,
    "recipe": recipe,
    "helped": helped,
    "spectra": spectra,
    "wrong axis": wrong_axis,
    "no divisor": no_divisor,
    "no mesh": lambda: said(lambda: qn.devices.replicate(PARAMS, None)),  # pyright: ignore[reportArgumentType]
    "named inside": named_inside,
    "asked inside": asked_inside,
    "injected": injected,
    "other devices": other_devices,
    "other mesh": other_mesh,
    "two axes": two_axes,
    "one of two axes": one_of_two_axes,
    "batch everywhere": batch_everywhere,
    "ensemble": ensemble,
    "in vmap": in_vmap,
    "unnamed": lambda: said(lambda: mapped("kfac")),
    "unnamed, not tracked": lambda: said(lambda: mapped("dual_newton", False)),
    "unnamed in vmap": lambda: said(vmapped),
    "unnamed in pmap": partial(unnamed_pmap, axis_name="d"),
    "pmap without a name": unnamed_pmap,
    "wrong name": lambda: said(lambda: mapped("newton", axis_name="data")),
    "no axis": lambda: said(lambda: steps(PLAIN, qn.fisher_newton(PLAIN, axis_name="d"))(PARAMS, (X, Y))),
    "no name": lambda: said(lambda: qn.kfac(PLAIN, axis_name=3)),  # pyright: ignore[reportArgumentType]
    "noise apart": noise_apart,
    **{f"equal {name} {check}": partial(equal, name, check) for name in OPTIMIZERS for check in (True, False)},
}

if __name__ == "__main__":
    print(json.dumps({name: CASES[name]() for name in sys.argv[1:] or CASES}))
