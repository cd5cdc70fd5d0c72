"""Every candidate that the package has, handed to a scheduler that has measured nothing yet. A new one is one row."""

from typing import ClassVar

import jax
import jax.flatten_util
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.operators import Shifted
from qnewton._scheduling import calibration
from qnewton._scheduling.yardsticks import layer
from qnewton._solvers.quantum.encoding import SquareRoot

SMALL = {"sizes": (2, 4, 8), "repeats": 1}
ROWS = 8
# Of the relative 2-norm error of the solution.
TOLERANCE = 5e-3

CANDIDATES = (
    q.Cholesky(),
    q.Cholesky(fallback=True),
    q.LU(),
    q.CG(1e-5),
    q.CG(1e-5, preconditioner=q.Jacobi()),
    q.CG(1e-5, preconditioner=q.Nystrom(2)),
    q.CG(1e-5, preconditioner=q.KFAC()),
    q.CG(1e-5, preconditioner=q.EKFAC()),
    q.MINRES(1e-5),
    q.MINRES(1e-5, preconditioner=q.KFAC()),
    q.Inverse(),
    q.GaussJordan(),
    q.Eigh(),
    q.SaddleFree(),
    q.Dual(),
    q.QLSA(),
    q.QLSA(queries=q.queries.costa2023, stand_in=q.CG(1e-5)),
    q.QLSA(queries=q.queries.dalzell2024, stand_in=q.Dual()),
    q.EmulatedQSVT(1e-3),
    q.EmulatedQSVT(1e-3, encoding=SquareRoot(rows=2)),
    q.EmulatedWalk(1e-3),
    q.EmulatedReflection(1e-3),
    q.CircuitQSVT(1e-3),
    # Coarser than what single precision resolves.
    q.Refine(q.Cholesky(), tolerance=1e-4),
    q.Refine(q.CG(1e-2), tolerance=1e-4),
    q.Refine(q.QLSA(), tolerance=1e-4),
    q.Refine(q.EmulatedReflection(1e-1), tolerance=1e-4),
    q.Refine(q.CircuitQSVT(1e-1), tolerance=1e-4),
)


@pytest.fixture
def cold():
    """Nothing is known of this machine."""
    calibration.rated_once.cache_clear()
    yield
    calibration.rated_once.cache_clear()


def _groups(candidates):
    """All of them, in lists without a repeated name, by which records tell candidates."""
    groups = []
    for solver in candidates:
        free = next((group for group in groups if solver.name not in {other.name for other in group}), None)
        if free is None:
            groups.append([solver])
        else:
            free.append(solver)
    return groups


def test_every_candidate_solves_without_a_calibration(cold):
    groups = _groups(CANDIDATES)
    assert sum(map(len, groups)) == len(CANDIDATES)
    block = layer(ROWS, "float32")
    assert isinstance(block, Shifted)
    vector = np.random.default_rng(0).standard_normal(ROWS)
    exact = np.linalg.solve(np.asarray(block.as_matrix(), np.float64), vector)
    plans = [_solve_with_each(candidates, block, vector, exact) for candidates in groups]
    # A refined quantum solver is charged for as many solves as it may take.
    columns = {solver.name: i for i, solver in enumerate(groups[0])}
    once, several = (
        float(plans[0].offers.queries[0, columns[n]]) for n in (q.QLSA().name, "Refine(QLSA(jennings2023v1))")
    )
    assert several == pytest.approx(8 * once, rel=1e-5)


def test_every_classical_candidate_is_measured_by_the_kernel_that_it_is_rated_by():
    for candidates in _groups(CANDIDATES):
        measured, rated = (
            machine(tuple(candidates))
            for machine in (lambda s: q.calibrate(s, **SMALL), lambda s: calibration.rated_once(s, "float32"))
        )
        # An application of what is set up has times of its own in profiles alone.
        applied = {solver.applied_as for solver in candidates}
        assert [name for name, _ in measured.kernels] == [name for name, _ in rated.kernels if name not in applied]
        assert (measured.basis, rated.basis != "measured") == ("measured", True)


def _solve_with_each(candidates, block, vector, exact):
    """Have each candidate of one scheduler solve the block, and return the last plan."""
    hybrid = q.Hybrid(candidates, policy=q.scheduling.Assigned(), quantum=q.QuantumMachine(1e-30))

    @jax.jit
    def solve(vector, index):
        operator = lx.TaggedLinearOperator(block, lx.positive_semidefinite_tag)
        turn = q.scheduling.Turn(index[None], jnp.ones(()), jnp.ones(len(candidates)))
        state = hybrid.init(operator, {"eigenvalue_floor": block.shift, "turn": turn})
        value, result, stats = hybrid.compute(state, vector, {})
        return value, result, stats["plan"]

    plan = None
    for index, solver in enumerate(candidates):
        value, result, plan = solve(jnp.asarray(vector, jnp.float32), jnp.asarray(index, jnp.int32))
        assert int(plan.choice[0]) == index, plan.offers.refusal[0, index]
        assert result == lx.RESULTS.successful, solver
        assert np.linalg.norm(value - exact) <= TOLERANCE * np.linalg.norm(exact), solver
        # Everything that can be charged is, and by a positive number.
        assert 0 < float(plan.offers.seconds[0, index]) < np.inf
    assert plan is not None
    return plan


def _traced(x):
    """A number that only a calibration gives, as a factor."""
    machine = q.calibrate([q.CG(1e-3)], **SMALL)
    times = dict(machine.kernels)["cg"]
    assert all(measured > 0 for _, measured, _ in times.samples)
    assert all(isinstance(measured, float) for _, measured, _ in times.samples)
    return x * len(times.samples)


def _shard_map(function):
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")
    return jax.shard_map(lambda x: function(x), mesh=mesh, in_specs=spec, out_specs=spec)


TRANSFORMS = {
    "nothing": lambda f: f(2.0),
    "jit": lambda f: jax.jit(f)(2.0),
    "vmap": lambda f: jax.vmap(f)(jnp.full(1, 2.0))[0],
    "value and gradient": lambda f: jax.value_and_grad(f)(2.0)[0],
    "scan": lambda f: jax.lax.scan(lambda carry, x: (carry, f(x)), 0, jnp.full(1, 2.0))[1][0],
    "shard_map": lambda f: _shard_map(f)(jnp.full(1, 2.0))[0],
    "jit of a gradient of a checkpoint": lambda f: jax.jit(jax.grad(jax.checkpoint(f)))(2.0) * 2,
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_what_is_measured_is_a_number_whatever_is_traced_around_it(transform):
    assert float(transform(_traced)) == 6.0


def test_newton_takes_an_iterative_candidate_that_was_never_measured(cold):
    def predict(params, inputs):
        return jnp.tanh(inputs @ params["w"] + params["b"])

    objective = q.Objective(predict, lambda outputs, targets: jnp.sum((outputs - targets) ** 2, axis=-1))
    rng = np.random.default_rng(0)
    batch = tuple(jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in ((12, 3), (12, 2)))
    params = {"w": jnp.asarray(rng.normal(size=(3, 2)), jnp.float32), "b": jnp.zeros(2)}
    gradients = jax.grad(objective)(params, batch)

    def step(solver):
        optimizer = q.newton(objective, solver=solver, adaptation=q.Fixed())
        update = lambda g, s: optimizer.update(g, s, params, batch=batch)  # noqa: E731
        updates, state = jax.jit(update)(gradients, optimizer.init(params))
        return jax.flatten_util.ravel_pytree(updates)[0], state.info.blocks[0]

    hybrid = q.Hybrid([q.CG(1e-6, preconditioner=q.KFAC()), q.Dual()], quantum=q.QuantumMachine(1e-9))
    found, info = step(hybrid)
    exact, _ = step(q.LU())
    assert int(info.status) == q.Status.OK
    assert np.linalg.norm(found - exact) <= 1e-3 * np.linalg.norm(exact)


class Weighted(q.solvers.AbstractPreconditioner):
    """Somebody's own, which holds an array."""

    weights: jax.Array

    @property
    def name(self) -> str:
        return "Weighted"

    def init(self, operator):
        return None

    def apply(self, state, vector):
        return vector * jnp.mean(self.weights)

    def flops(self, n):
        return 0.0, float(n)


def test_a_candidate_that_holds_arrays_is_rated_once_for_its_shapes(cold, monkeypatch):
    rated, calls = calibration.rated_machine, []
    monkeypatch.setattr(
        calibration, "rated_machine", lambda kernels, dtype, **kw: calls.append(dtype) or rated(kernels, dtype, **kw)
    )
    operator = lx.MatrixLinearOperator(2 * jnp.eye(2), lx.positive_semidefinite_tag)

    def solve(weights):
        return lx.linear_solve(operator, jnp.ones(2), q.Hybrid([q.CG(preconditioner=Weighted(weights))])).value

    for value in (1.0, 2.0):
        np.testing.assert_allclose(solve(jnp.full(3, value)), 0.5)
        np.testing.assert_allclose(jax.jit(solve)(jnp.full(3, value)), 0.5)
    assert calls == ["float32"]


class Unpriced(q.LU):
    """Quantum by its own account, without a count."""

    execution: ClassVar[str] = "modelled"
    name: ClassVar[str] = "Unpriced"


REFUSED = {
    "lineax's CG": (lx.CG(1e-3, 1e-3), r"lineax\.CG is no candidate.*use qnewton's CG\(\)"),
    "lineax's LU": (lx.LU(), r"lineax\.LU is no candidate.*use qnewton's LU\(\)"),
    "lineax's QR": (lx.QR(), r"lineax\.QR .*LU\(\)"),
    "lineax's SVD": (lx.SVD(), r"lineax\.SVD .*Eigh\(\)"),
    "lineax's choice": (lx.AutoLinearSolver(well_posed=True), r"lineax\.AutoLinearSolver .*Cholesky\(fallback=True\)"),
    "lineax's GMRES": (lx.GMRES(1e-3, 1e-3), r"lineax\.GMRES .*MINRES\(\) or LU\(\)"),
    "a triangular one": (lx.Triangular(), r"lineax\.Triangular .*subclass qnewton\.solvers\.AbstractSolver"),
    "a class": (q.CG, r"CG is a class and no candidate of Hybrid: make one, CG\(\)"),
    "another scheduler": (q.Hybrid([q.LU()]), "Hybrid is no candidate of another Hybrid"),
    "a word": ("lu", r"'lu' is no candidate of Hybrid"),
    "no count": (Unpriced(), r"Unpriced is no candidate.*states no count.*AbstractQuantumSolver"),
}


@pytest.mark.parametrize(("solver", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_lacks_the_interface_is_refused_by_name(solver, message):
    with pytest.raises(TypeError, match=message):
        q.Hybrid([q.LU(), solver])
    with pytest.raises(TypeError, match=message):
        q.calibrate([solver], **SMALL)


LACKING = {
    "lineax's LU in Refine": (
        q.Refine,
        {"inner": lx.LU()},
        r"lineax\.LU is no inner solver of Refine.*use qnewton's LU",
    ),
    "a class in Refine": (q.Refine, {"inner": q.LU}, r"LU is a class and no inner solver of Refine: make one, LU\(\)"),
    "a scheduler in Refine": (q.Refine, {"inner": q.Hybrid([q.LU()])}, "Hybrid is no inner solver of Refine.*LU"),
    "lineax's LU in QLSA": (q.QLSA, {"stand_in": lx.LU()}, r"lineax\.LU is no stand-in of QLSA.*use qnewton's LU\(\)"),
    "a word in QLSA": (q.QLSA, {"stand_in": "lu"}, "'lu' is no stand-in of QLSA"),
    "a quantum one in QLSA": (q.QLSA, {"stand_in": q.EmulatedWalk()}, "EmulatedWalk.* is no stand-in.*emulated.*LU"),
    "a solver for a switch": (
        q.Cholesky,
        {"fallback": q.LU()},
        "Cholesky: fallback is of the class LU: give",
    ),
    "a word for a preconditioner": (q.CG, {"preconditioner": "jacobi"}, r"preconditioner is 'jacobi'.*Jacobi\(\)"),
}


@pytest.mark.parametrize(("solver", "arguments", "message"), LACKING.values(), ids=LACKING.keys())
def test_what_stands_inside_a_solver_is_refused_by_name_too(solver, arguments, message):
    with pytest.raises(TypeError, match=message):
        solver(**arguments)


@pytest.mark.parametrize(
    ("solver", "message"),
    [("lu", "'lu' is no solver for newton: use"), (q.LU, r"LU is a class and no solver for newton: make one, LU\(\)")],
)
def test_newton_refuses_what_is_no_linear_solver(solver, message):
    objective = q.Objective(
        lambda params, x: x @ params, lambda outputs, targets: jnp.sum((outputs - targets) ** 2, -1)
    )
    with pytest.raises(TypeError, match=message):
        q.newton(objective, solver=solver).init(jnp.ones((2, 1)))


def test_a_single_candidate_has_to_be_listed():
    with pytest.raises(TypeError, match=r"got one LU: write Hybrid\(\[\.\.\.\]\)"):
        q.Hybrid(q.LU())  # pyright: ignore[reportArgumentType]


def test_a_walk_for_definite_matrices_is_offered_those_alone():
    hybrid = q.Hybrid([q.EmulatedWalk(definite=True)], classical=q.ClassicalMachine("by hand", "float32", ()))
    for sign, feasible in ((1.0, True), (-1.0, False)):
        plan = hybrid.plan(q.curvature.System.of(jnp.diag(jnp.asarray([1.0, sign * 0.5])), symmetric=True))
        assert bool(plan.offers.feasible[0, 0]) == feasible
