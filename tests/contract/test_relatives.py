"""Every kind of curvature, conditioning, solver and step rule, of 16-bit parameters under strict settings."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

import qnewton as q

from .optimizers import OPTIMIZERS, Make, batch, objective, params, trained


def blocks(**options: Any) -> Make:
    return lambda objective, _: q.newton(objective, **{"solver": q.Cholesky(), **options})


RELATIVES: dict[str, Make] = {
    "Hessian": blocks(curvature=q.Hessian(), solver=q.SaddleFree()),
    "EmpiricalFisher": blocks(curvature=q.EmpiricalFisher()),
    "Microbatched": blocks(curvature=q.Microbatched(q.GaussNewton(), 4), solver=q.CG()),
    "Marquardt": blocks(metric=q.Marquardt()),
    "TrustRegion": blocks(step=q.TrustRegion()),
    "LineSearch": blocks(step=q.LineSearch()),
    "KLClip": blocks(step=q.KLClip()),
    "Correction": blocks(correction=q.Correction(max_steps=3)),
    "pruned": blocks(solver=q.LU(), conditioning=[q.Prune(0.5), q.Damp(0.5)]),
    "preset": blocks(conditioning=q.conditioning.preset("tight", damping=q.Damp(0.5))),
    "per block": blocks(partition=q.per_tensor, adaptation=q.LevenbergMarquardt(per_block=True)),
    "Fixed": blocks(
        adaptation=q.Fixed(), conditioning=[q.Damp(5e-3)], partition=q.per_tensor, where=lambda block: block.n < 12
    ),
    "schedule": blocks(learning_rate=lambda count: 1 / (1 + count.astype(jnp.float32)), clip=0.1, weight_decay=0.1),
    "warm": blocks(solver=q.CG(), warm_start=True),
    "CG, KFAC": blocks(solver=q.CG(preconditioner=q.KFAC())),
    "CG, EKFAC": blocks(solver=q.CG(preconditioner=q.EKFAC())),
    "CG, Nystrom": blocks(solver=q.CG(preconditioner=q.Nystrom(4))),
    "MINRES": blocks(solver=q.MINRES()),
    "Inverse": blocks(solver=q.Inverse()),
    "GaussJordan": blocks(solver=q.GaussJordan()),
    "Eigh": blocks(solver=q.Eigh()),
    "Dual": blocks(solver=q.Dual()),
    "Refine": blocks(solver=q.Refine(q.LU())),
    "QLSA": blocks(solver=q.QLSA()),
    "EmulatedQSVT": blocks(solver=q.EmulatedQSVT()),
    "EmulatedReflection": blocks(solver=q.EmulatedReflection()),
    "EmulatedWalk": blocks(solver=q.EmulatedWalk()),
    "Hybrid, iterative": blocks(solver=q.Hybrid([q.CG(), q.LU(), q.QLSA()])),
    "Hybrid, Reuse": blocks(solver=q.Hybrid(estimator=q.estimators.Reuse())),
    "kfac, TrustRegion": lambda objective, _: q.kfac(objective, step=q.TrustRegion()),
    "fisher, entries": lambda objective, _: q.fisher_newton(objective, largest=1),
    "dual, Marquardt": lambda objective, _: q.dual_newton(objective, metric=q.Marquardt()),
    "dual, l2": lambda objective, _: q.dual_newton(q.Objective(objective.predict, objective.loss, l2=0.01)),
}


@pytest.mark.parametrize("name", RELATIVES)
def test_types_stay_under_strict_settings(name: str) -> None:
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        own, data, start = objective(), batch(jnp.bfloat16), params(jnp.bfloat16)
        optimizer = RELATIVES[name](own, data)
        state = optimizer.init(start)
        updates, after = jax.eval_shape(
            lambda params, state: optimizer.update(jax.grad(own)(params, data), state, params, batch=data), start, state
        )
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert jax.tree.structure(after) == jax.tree.structure(state)
    kinds = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)] for tree in (state, after)]
    assert kinds[0] == kinds[1]
    assert all(jnp.finfo(dtype).bits >= 32 for _, dtype in kinds[0] if jnp.issubdtype(dtype, jnp.floating))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["GaussNewton", "Hessian"])
def test_curvature_is_that_of_the_stored_parameters_in_single_precision(kind: str, dtype: str) -> None:
    own, (x, y), start = objective(), batch(dtype), params(dtype)
    curvature = q.GaussNewton() if kind == "GaussNewton" else q.Hessian()
    (block,) = q.whole(start)
    found = jax.jit(lambda p, b: curvature.form(own, p, b, block).matrix)(start, (x, y))
    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, np.float64)), start)
        given = jnp.asarray(np.asarray(x, np.float64))
        flat, back = ravel_pytree(exact)

        def outputs(w: Any) -> Any:
            return own.predict(back(w), given)

        def loss(z: Any) -> Any:
            return jnp.mean(own.loss(z, y))

        def dense(w: Any) -> Any:
            if kind == "Hessian":
                return jax.hessian(lambda w: loss(outputs(w)))(w)
            jacobian, bent = jax.jacobian(outputs)(w), jax.hessian(loss)(outputs(w))
            return jnp.einsum("ian,iajb,jbm->nm", jacobian, bent, jacobian)

        expected = jax.jit(dense)(flat)
    np.testing.assert_allclose(found, expected, atol=2e-6 * float(np.abs(expected).max()))


def recurrent(p: PyTree, x: Any) -> Any:
    """A model that names its types, so that nothing but 16 bits can be carried through it."""

    def cell(h: Any, _: None) -> tuple[Any, None]:
        return jnp.tanh(x.astype(jnp.bfloat16) @ p["hidden"]["w"] + p["hidden"]["b"][None] + h).astype(h.dtype), None

    h, _ = jax.lax.scan(cell, jnp.zeros((x.shape[0], 5), jnp.bfloat16), length=2)
    return h @ p["out"]["w"]


@pytest.mark.parametrize("name", ["dual_newton", "newton-cg", "kfac", "fisher_newton"])
def test_a_model_that_names_its_types_trains(name: str) -> None:
    own = q.Objective(recurrent, objective().loss)
    data, start = batch(jnp.bfloat16), params(jnp.bfloat16)
    make = OPTIMIZERS[name] if name != "kfac" else lambda own, data: q.kfac(own, example=data[0])
    now, _ = trained(make(own, data), own, start, data, 4)
    assert float(own(now, data)) < float(own(start, data))
    assert {leaf.dtype for leaf in jax.tree.leaves(now)} == {jnp.dtype(jnp.bfloat16)}


def test_the_whole_estimate_takes_sixteen_bits() -> None:
    """Spectra, plans of memory and the choice of a family, for 16-bit parameters."""
    own, data, start = objective(), batch(jnp.bfloat16), params(jnp.bfloat16)
    (spectrum,) = q.spectrum(own, start, data)
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (start, data[0]))
    (twin,) = q.spectrum(own, wide[0], (wide[1], data[1]))
    largest = np.max(twin.eigenvalues)
    np.testing.assert_allclose(spectrum.eigenvalues, twin.eigenvalues, atol=1e-5 * largest)
    optimizer: Any = q.recipe(own, start, data)
    assert optimizer.init(start).info.family == "kfac"
