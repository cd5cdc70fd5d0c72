"""What solvers say of themselves, against what they do with an operator and a guess."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._solvers import capabilities_of

MATRIX = np.diag([1.0, 2.0, 3.0, 5.0])
SOLVERS = [
    *(q.LU(), q.Cholesky(), q.Eigh(), q.CG(1e-6), q.MINRES(1e-6), q.QLSA(), q.QLSA(stand_in=q.CG(1e-6))),
    *(q.Refine(q.QLSA()), q.EmulatedQSVT(1e-4, kappa=5.0, norm=5.0)),
    *(lx.LU(), lx.CG(1e-6, 1e-6), lx.BiCGStab(1e-6, 1e-6)),
]


def said(solver):
    inner = getattr(solver, "stand_in", None)
    name = f"{type(solver).__module__.partition('.')[0]}.{type(solver).__name__}"
    return name if inner is None else f"{name} by {inner.name}"


everyone = pytest.mark.parametrize("solver", SOLVERS, ids=said)


def unformed(vector):
    return jnp.asarray(MATRIX, jnp.float32) @ vector


@everyone
def test_a_matrix_is_needed_by_whoever_says_so(solver, monkeypatch):
    able, formed = capabilities_of(solver), []
    as_matrix = lx.FunctionLinearOperator.as_matrix
    monkeypatch.setattr(lx.FunctionLinearOperator, "as_matrix", lambda self: formed.append(1) or as_matrix(self))
    structure = jax.ShapeDtypeStruct((4,), jnp.float32)
    operator = lx.FunctionLinearOperator(unformed, structure, lx.positive_semidefinite_tag)
    found = lx.linear_solve(operator, jnp.ones(4), solver, throw=False)
    np.testing.assert_allclose(found.value, 1 / np.diag(MATRIX), rtol=2e-3)
    if able.matrix_free:
        assert not formed
    # lineax's own iterations take operators as well, but `newton` hands its solvers matrices.
    elif isinstance(solver, q.solvers.AbstractSolver):
        assert formed


@everyone
def test_a_first_guess_serves_whoever_takes_one(solver):
    operator = lx.MatrixLinearOperator(jnp.asarray(MATRIX, jnp.float32), lx.positive_semidefinite_tag)
    guess = {"y0": 1 / jnp.asarray(np.diag(MATRIX), jnp.float32)}
    taken, plain = (
        int(lx.linear_solve(operator, jnp.ones(4), solver, options=options, throw=False).stats.get("num_steps", 0))
        for options in (guess, {})
    )
    able = capabilities_of(solver)
    # A guess for who stands in would be none of the quantum solver's.
    assert able.warm_start == (taken < plain and not able.quantum)


def test_quantum_is_whoever_states_a_count():
    for solver in SOLVERS:
        if isinstance(solver, q.solvers.AbstractSolver):
            workload = solver.workload(estimate(), q.solvers.Encoding(5.0, 1.0))
            assert isinstance(workload, q.solvers.QuantumWorkload) == solver.capabilities.quantum
            assert solver.capabilities.quantum == (solver.execution is not None)


def estimate():
    return jax.jit(q.estimators.Exact())(q.curvature.System.of(jnp.asarray(MATRIX, jnp.float32), symmetric=True))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"needs_definite": True}, "needs_definite is True and needs_symmetric False.*set both"),
        ({"matrix_free": True}, "matrix_free and needs_matrix are both True"),
    ],
)
def test_what_contradicts_itself_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        q.solvers.Capabilities(**flags)


@pytest.mark.parametrize("kind", [lx.CG, lx.BiCGStab, lx.GMRES])
def test_a_subclass_of_a_lineax_solver_is_what_its_parent_is(kind):
    made = type("Mine", (kind,), {})(1e-6, 1e-6)
    assert capabilities_of(made) == capabilities_of(kind(1e-6, 1e-6))
    assert capabilities_of(made).warm_start


def test_the_older_name_of_execution_is_understood():
    with pytest.warns(DeprecationWarning, match=r"Older\.fidelity is 'model'.*`execution` now"):

        class Older(q.QLSA):
            fidelity: ClassVar[str] = "model"  # pyright: ignore[reportIncompatibleMethodOverride]

    assert Older().execution == "modelled"
    with pytest.warns(DeprecationWarning, match="understood for one release"):
        assert q.QLSA().fidelity == "model"
    with pytest.warns(DeprecationWarning, match="understood for one release"):
        assert q.EmulatedQSVT().fidelity == "emulated"
