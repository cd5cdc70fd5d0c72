"""`Hybrid` on blocks that are not formed: the numbers of a formed one, and no matrix where nobody needs it."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

import qnewton as qn
from qnewton._core.operators import Shifted, access_of
from qnewton._core.status import Refusal
from qnewton._curvature.point import Point
from qnewton._hardware import KernelTimes
from qnewton.testing import DenseBlock

SHIFT = 0.05
CANDIDATES = {
    "Cholesky": qn.Cholesky(),
    "LU": qn.LU(),
    "QLSA": qn.QLSA(),
    "QLSA on CG": qn.QLSA(precision=2e-2, stand_in=qn.CG(1e-10)),
    "Inverse": qn.Inverse(),
    "Eigh": qn.Eigh(),
    "CG": qn.CG(1e-10),
    "CG-KFAC": qn.CG(1e-10, preconditioner=qn.KFAC()),
    "CG-EKFAC": qn.CG(1e-10, preconditioner=qn.EKFAC()),
    "CG-Jacobi": qn.CG(1e-10, preconditioner=qn.Jacobi()),
    "MINRES-Nystrom": qn.MINRES(1e-10, preconditioner=qn.Nystrom(5)),
    "Dual": qn.Dual(),
}
KERNELS = ("cg", "cholesky", "dual", "eigh", "forming", "inverse", "lu", "minres")


class Pinned(qn.scheduling.AbstractPolicy):
    index: Int[Array, ""]

    @property
    def remembers(self) -> bool:
        return False

    def choose(self, offers: qn.scheduling.Offers, turn: qn.scheduling.Turn) -> qn.scheduling.Choice:
        return qn.scheduling.Choice(self.index, jnp.int32(0), jnp.zeros(len(offers.names), jnp.int32))


def abacus(dtype: Any = "float64", **seconds_per_flop: float) -> qn.ClassicalMachine:
    """One second per operation, and nothing else; forming for nothing."""
    rates = dict.fromkeys(KERNELS, 1.0) | {"forming": 0.0} | seconds_per_flop
    return qn.ClassicalMachine("abacus", str(dtype), tuple((k, KernelTimes(0.0, 0.0, r)) for k, r in rates.items()))


class Network:
    """Two dense layers under squared loss, 5-4-3 with biases: 39 parameters, 9 examples; its Jacobian in numpy."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.shapes = {"a": (5, 4), "b": (4,), "c": (4, 3), "d": (3,)}
        self.weights = {name: rng.standard_normal(shape) for name, shape in self.shapes.items()}
        self.inputs, self.targets = rng.standard_normal((9, 5)), rng.standard_normal((9, 3))
        self.gradient = rng.standard_normal(39)

    @staticmethod
    def outputs(w: Any, x: Any, np: Any = np) -> Any:
        return np.tanh(x @ w["a"] + w["b"]) @ w["c"] + w["d"]

    def block(self, names: str) -> tuple[np.ndarray, np.ndarray]:
        """The Gauss-Newton matrix of these parameters by complex steps, and the right-hand side."""
        columns, step = [], 1e-30
        for name in names:
            for index in np.ndindex(self.shapes[name]):
                moved = {key: value.astype(complex) for key, value in self.weights.items()}
                moved[name][index] += 1j * step
                columns.append(np.imag(self.outputs(moved, self.inputs)).ravel() / step)
        jacobian = np.stack(columns, axis=1)
        return jacobian.T @ jacobian / 9, self.gradient[: len(columns)]

    def operator(
        self, names: str, dtype: Any, curvature: qn.curvature.AbstractCurvature, weights: Any = None
    ) -> Shifted:
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), self.weights if weights is None else weights)
        objective = qn.Objective(lambda p, x: self.outputs(p, x, jnp), lambda z, y: jnp.sum((z - y) ** 2, axis=-1) / 2)
        point = Point.of(objective, params, (jnp.asarray(self.inputs, dtype), jnp.asarray(self.targets, dtype)))
        blocks = qn.whole(params) if names == "abcd" else [b for b in qn.per_tensor(params) if b.name == names]
        return Shifted(curvature.operator(point, blocks[0]), jnp.asarray(SHIFT, dtype))


NETWORK = Network()


@pytest.fixture
def x64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


# One tensor keeps its layer's curvature, the whole network is linearised.
@pytest.mark.parametrize("names", ["a", "abcd"])
def test_every_candidate_solves_like_numpy_in_one_compilation(names, x64):
    matrix, vector = NETWORK.block(names)
    expected = np.linalg.solve(matrix + SHIFT * np.eye(len(vector)), vector)
    # Two ways to charge the same QLSA would have one name.
    named = {name: solver for name, solver in CANDIDATES.items() if name != "QLSA on CG"}
    traces = []

    @jax.jit
    def run(index, weights, b):
        traces.append(index)
        hybrid = qn.Hybrid(list(named.values()), classical=abacus(), policy=Pinned(index))
        operator = NETWORK.operator(names, "float64", qn.GaussNewton(), weights)
        options = {"eigenvalue_floor": operator.shift}
        value, result, stats = hybrid.compute(hybrid.init(operator, options), b, options)
        return value, result, stats

    for index, name in enumerate(named):
        value, result, stats = run(index, NETWORK.weights, jnp.asarray(vector))
        assert result == lx.RESULTS.successful, name
        assert np.linalg.norm(value - expected) <= 1e-8 * np.linalg.norm(expected), name
        assert stats["plan"].offers.feasible.all()
        assert (int(stats["num_steps"]) > 0) == name.startswith(("CG", "MINRES")), name
    assert len(traces) == 1


def test_a_quantum_candidate_may_be_stood_in_for_without_a_matrix(x64):
    matrix, vector = NETWORK.block("a")
    hybrid = qn.Hybrid([CANDIDATES["QLSA on CG"]], classical=abacus())
    value, _, stats = solution_of(hybrid, lambda: NETWORK.operator("a", "float64", qn.GaussNewton()), vector)
    expected = np.linalg.solve(matrix + SHIFT * np.eye(20), vector)
    assert np.linalg.norm(value - expected) <= 1e-8 * np.linalg.norm(expected)
    assert float(stats["plan"].offers.queries[0, 0]) > 0
    assert hybrid.never_forms(floor=True)


class Watched(DenseBlock):
    """Counts at run time how often it is formed and applied."""

    counts: dict[str, int] = None  # pyright: ignore[reportAssignmentType]

    def _count(self, what: str) -> None:
        jax.debug.callback(lambda: self.counts.__setitem__(what, self.counts[what] + 1), ordered=True)

    def mv(self, vector: Float[Array, " n"]) -> Float[Array, " n"]:
        if not isinstance(vector, jax.ShapeDtypeStruct):
            self._count("products")
        return super().mv(vector)

    def as_matrix(self) -> Float[Array, "n n"]:
        self._count("formed")
        return super().as_matrix()


def test_only_the_chosen_candidate_forms_the_matrix():
    counts = {"formed": 0, "products": 0}
    root = jnp.asarray(np.random.default_rng(0).standard_normal((6, 20)), jnp.float32) / 4
    known = DenseBlock.of_root(root)
    block = Watched(matrix=known.matrix, rooted=known.rooted, counts=counts)
    expected = np.linalg.solve(np.float64(known.matrix) + 0.5 * np.eye(20), np.ones(20))
    formed = {"CG": 0, "MINRES-Nystrom": 0, "Dual": 0, "LU": 1, "QLSA": 1}

    @jax.jit
    def run(index, shift, b):
        hybrid = qn.Hybrid([CANDIDATES[name] for name in formed], classical=abacus("float32"), policy=Pinned(index))
        options = {"eigenvalue_floor": shift}
        return hybrid.compute(hybrid.init(Shifted(block, shift), options), b, options)[0]

    for index, (name, times) in enumerate(formed.items()):
        counts["formed"] = 0
        value = run(index, jnp.float32(0.5), jnp.ones(20))
        jax.effects_barrier()
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        assert counts["formed"] == times, name


def branches_of(jaxpr: Any) -> list[Any]:
    """The branches of the switch over candidates: the only `cond` with that many."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond" and len(equation.params["branches"]) == 3:
            return [branch.jaxpr for branch in equation.params["branches"]]
    return found


def sizes_in(jaxpr: Any) -> Iterator[int]:
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        if equation.primitive.name == "cond" and len(equation.params["branches"]) == 3:
            continue
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from sizes_in(inner)


def test_no_array_of_a_matrixs_size_outside_of_the_branch_that_forms_it():
    rng = np.random.default_rng(0)
    params = {"a": jnp.asarray(rng.standard_normal((30, 40)), jnp.float32) / 6}
    params["b"] = jnp.asarray(rng.standard_normal((40, 20)), jnp.float32) / 6
    batch = jnp.asarray(rng.standard_normal((4, 30)), jnp.float32), jnp.zeros((4, 20))
    objective = qn.Objective(lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"], lambda z, y: jnp.sum((z - y) ** 2, axis=-1))
    hybrid = qn.Hybrid([qn.CG(preconditioner=qn.KFAC()), qn.Dual(), qn.LU()], classical=abacus("float32"))
    n = 2000

    def solve(params, b):
        base = qn.GaussNewton().operator(Point.of(objective, params, batch), qn.whole(params)[0])
        operator = Shifted(base, jnp.float32(SHIFT))
        options = {"eigenvalue_floor": operator.shift}
        return hybrid.compute(hybrid.init(operator, options), b, options)[0]

    jaxpr = jax.make_jaxpr(solve)(params, jnp.ones(n)).jaxpr
    free, dual, lu = branches_of(jaxpr)
    # Jacobians of 4 examples and 20 outputs are the most that a diagonal takes.
    assert max(sizes_in(jaxpr)) <= 2 * 4 * 20 * n
    assert max(sizes_in(free)) <= 4 * n
    assert max(sizes_in(dual)) <= 4 * 20 * n
    assert max(sizes_in(lu)) >= n**2, "the measure sees no matrix where there is one"


# What it costs -------------------------------------------------------------------------------------------------------


def plan_of(
    make: Callable[[], Any], solvers: Any, machine: qn.ClassicalMachine, floor: Any = SHIFT
) -> qn.scheduling.Plan:
    """For the operator that `make` makes; jitted, since everything one by one compiles longer."""
    hybrid = qn.Hybrid(solvers, classical=machine)

    def plan() -> qn.scheduling.Plan:
        operator = make()
        return hybrid.init(operator, {"eigenvalue_floor": jnp.asarray(floor, operator.in_structure().dtype)}).plan

    return jax.jit(plan)()


def solution_of(hybrid: qn.Hybrid, make: Callable[[], Any], vector: Any, floor: Any = SHIFT) -> Any:
    def solve(b: Array) -> Any:
        options = {} if floor is None else {"eigenvalue_floor": jnp.asarray(floor, b.dtype)}
        return hybrid.compute(hybrid.init(make(), options), b, options)

    return jax.jit(solve)(jnp.asarray(vector))


def test_a_step_costs_the_operators_product_and_a_matrix_its_forming():
    solvers = [qn.CG(1e-3), qn.LU(), qn.Dual(), qn.QLSA()]
    plan = plan_of(lambda: NETWORK.operator("a", "float32", qn.GaussNewton()), solvers, abacus("float32", forming=1.0))
    seconds = np.asarray(plan.offers.seconds[0], np.float64)
    n, b, i, o = 20, 9, 5, 4
    # x forward and back, the curvature between them with one division, and the shift.
    product = 4 * b * i * o + 2 * b * o**2 + b * o + 2 * n
    assert float(plan.estimate.access.product.flops) == product
    trace = np.trace(NETWORK.block("a")[0]) + n * SHIFT
    steps = float(plan.offers.expected_steps[0])
    assert 1 <= steps <= np.ceil(np.sqrt(trace / SHIFT) / 2 * np.log(2e3))
    np.testing.assert_allclose(seconds[0], steps * (product + 10 * n), rtol=1e-5)
    # The triangle's products, from examples to entries, are what forming is made of; LU's own operations come on top.
    forming = seconds[1] - (2 / 3 * n**3 + 2 * n**2)
    np.testing.assert_allclose(forming, float(plan.estimate.access.forming.flops), rtol=1e-4)
    assert forming >= 2 * b * i**2 * o * (o + 1) / 2
    assert int(plan.estimate.access.rows) == 9 * 3
    assert seconds[2] > 27**3 / 3
    # A quantum solve pays what its assumption set says, which loads for nothing.
    assert seconds[3] == pytest.approx(float(plan.offers.queries[0, 3]) * 50e-9, rel=1e-5)


def test_a_matrix_at_hand_is_charged_to_nobody(x64):
    matrix = NETWORK.block("a")[0] + SHIFT * np.eye(20)
    plan = plan_of(
        lambda: lx.MatrixLinearOperator(jnp.asarray(matrix), lx.symmetric_tag), [qn.LU()], abacus(forming=1.0)
    )
    assert float(plan.offers.seconds[0, 0]) == pytest.approx(2 / 3 * 20**3 + 2 * 20**2)


def test_the_default_estimate_is_close_and_products_give_the_norms(x64):
    matrix = NETWORK.block("abcd")[0] + SHIFT * np.eye(39)
    estimate = plan_of(lambda: NETWORK.operator("abcd", "float64", qn.GaussNewton()), [qn.CG()], abacus()).estimate
    # All eigenvalues of so small a block: 39 products, of which none formed it.
    assert estimate.kind is qn.estimators.Kind.EXACT
    assert bool(estimate.definite)
    assert float(estimate.condition_number) == pytest.approx(np.linalg.cond(matrix), rel=1e-6)
    assert float(estimate.max_entry) == pytest.approx(np.abs(matrix).max(), rel=1e-9)
    assert float(estimate.frobenius_norm) == pytest.approx(np.linalg.norm(matrix), rel=1e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_norms_by_products_stay_inside_the_range_of_floats(scale):
    matrix = np.float32(scale) * np.diag(np.arange(1, 9, dtype=np.float32))
    estimate = plan_of(
        lambda: Shifted(DenseBlock(matrix=jnp.asarray(matrix)), jnp.float32(scale)), [qn.CG()], abacus("float32"), scale
    ).estimate
    expected = np.linalg.norm((matrix + scale * np.eye(8)) / scale) * scale
    assert float(estimate.frobenius_norm) == pytest.approx(expected, rel=1e-5)


def test_decisions_are_the_same_with_and_without_jit(x64):
    solvers = [*list(CANDIDATES.values())[:3], qn.CG(1e-10), qn.Dual()]
    root = jnp.asarray(np.random.default_rng(0).standard_normal((6, 20)))
    for rates in ({}, {"dual": 1e-9}):
        hybrid = qn.Hybrid(solvers, classical=abacus(**rates))

        def plan(shift, hybrid=hybrid):
            return hybrid.init(Shifted(DenseBlock.of_root(root), shift), {"eigenvalue_floor": shift}).plan

        eager, jitted = plan(jnp.asarray(SHIFT)), jax.jit(plan)(jnp.asarray(SHIFT))
        assert eager.choice == jitted.choice
        np.testing.assert_allclose(eager.offers.seconds, jitted.offers.seconds, rtol=1e-9)
        if rates:
            (fastest,) = rates
            assert solvers[int(eager.choice[0])].name.lower() == fastest


# What cannot be served -----------------------------------------------------------------------------------------------


REFUSED = {
    "no root": (qn.Dual(), lambda: Shifted(DenseBlock(matrix=jnp.eye(4)), jnp.ones(())), Refusal.NO_ROOT),
    "no shift": (qn.Dual(), lambda: DenseBlock.of_root(jnp.ones((1, 4))), Refusal.NO_ROOT),
    "no layers": (
        qn.CG(preconditioner=qn.KFAC()),
        lambda: Shifted(DenseBlock(matrix=jnp.eye(4)), jnp.ones(())),
        Refusal.NO_LAYERS,
    ),
    "a matrix has no root": (
        qn.Dual(),
        lambda: lx.MatrixLinearOperator(jnp.eye(4), lx.symmetric_tag),
        Refusal.NO_ROOT,
    ),
    "a matrix has no layers": (
        qn.MINRES(preconditioner=qn.EKFAC()),
        lambda: lx.MatrixLinearOperator(jnp.eye(4), lx.symmetric_tag),
        Refusal.NO_LAYERS,
    ),
    "not finite": (
        qn.CG(),
        lambda: Shifted(DenseBlock(matrix=jnp.full((4, 4), jnp.nan)), jnp.ones(())),
        Refusal.NOT_FINITE,
    ),
}


@pytest.mark.parametrize(("solver", "make", "refusal"), REFUSED.values(), ids=REFUSED)
def test_what_an_operator_lacks_makes_a_candidate_infeasible_with_the_reason(solver, make, refusal):
    # MINRES beside it, so that blocks stay unformed.
    hybrid = qn.Hybrid([solver, qn.MINRES(1e-5)], classical=abacus("float32"))
    value, _, stats = solution_of(hybrid, make, jnp.ones(4), 1.0)
    plan = stats["plan"]
    assert int(plan.offers.refusal[0, 0]) == refusal
    assert not plan.offers.feasible[0, 0]
    assert np.isinf(plan.offers.seconds[0, 0])
    assert np.isfinite(value).all() == (refusal != Refusal.NOT_FINITE)
    assert refusal.reason


def test_nobody_left_gives_nan_and_no_exception():
    hybrid = qn.Hybrid([qn.Dual()], classical=abacus("float32"))
    value, result, stats = solution_of(
        hybrid, lambda: Shifted(DenseBlock(matrix=jnp.eye(4)), jnp.ones(())), jnp.ones(4), 1.0
    )
    assert np.isnan(value).all()
    assert result == lx.RESULTS.breakdown
    assert not stats["plan"].offers.feasible.any()


def test_a_floor_that_fails_for_this_batch_refuses_those_that_need_it():
    plan = plan_of(
        lambda: Shifted(DenseBlock(matrix=-2 * jnp.eye(4)), jnp.ones(())),
        [qn.CG(), qn.MINRES()],
        abacus("float32"),
        -jnp.inf,
    )
    assert list(plan.offers.refusal[0]) == [Refusal.NOT_DEFINITE, Refusal.NONE]


@pytest.mark.parametrize(
    ("estimator", "floor", "unformed"),
    [
        (qn.estimators.Automatic(), True, True),
        (qn.estimators.Automatic(), False, False),
        (qn.estimators.Lanczos(), False, True),
        (qn.estimators.InverseLanczos(), True, False),
        (qn.estimators.Exact(), True, False),
    ],
)
def test_a_block_stays_unformed_where_the_estimator_does_without_it(estimator, floor, unformed):
    assert qn.Hybrid([qn.LU(), qn.CG()], estimator=estimator).keeps_unformed(floor=floor) is unformed
    assert qn.Hybrid([qn.LU(), qn.QLSA()], estimator=estimator).keeps_unformed(floor=floor) is False
    assert qn.Hybrid([qn.CG()], estimator=estimator).never_forms(floor=floor) is unformed
    # Both estimators have to do without a matrix.
    for second in (qn.estimators.Exact(), qn.estimators.Bracket()):
        hybrid = qn.Hybrid([qn.LU(), qn.CG()], estimator=estimator, second=second)
        assert hybrid.keeps_unformed(floor=floor) is (unformed and isinstance(second, qn.estimators.Bracket))


def test_an_exact_hessian_by_products_is_never_formed(x64):
    def make() -> Shifted:
        return NETWORK.operator("abcd", "float64", qn.Hessian())

    hybrid = qn.Hybrid([qn.MINRES(1e-10), qn.Dual()], estimator=qn.estimators.Lanczos(), classical=abacus())
    value, _, stats = solution_of(hybrid, make, NETWORK.gradient, None)
    # Products with unit vectors; the curvature itself has its tests elsewhere.
    matrix = np.asarray(jax.jit(lambda: jax.vmap(make().mv)(jnp.eye(39)))())
    expected = np.linalg.solve(matrix, NETWORK.gradient)
    assert np.linalg.norm(value - expected) <= 1e-6 * np.linalg.norm(expected)
    assert list(stats["plan"].offers.refusal[0]) == [Refusal.NONE, Refusal.NO_ROOT]


def test_calibration_measures_what_operators_take():
    machine = qn.calibrate([qn.CG(), qn.Dual(), qn.LU()], sizes=(8, 32, 40, 48), repeats=1)
    kernels = dict(machine.kernels)
    assert sorted(kernels) == ["cg", "cg, unformed", "dual", "forming", "lu"]
    assert all([n for n, _, _ in times.samples] == [8, 32, 40, 48] for times in kernels.values())
    forming = kernels["forming"]
    coefficients = forming.seconds_per_call, forming.seconds_per_flop, forming.seconds_per_byte
    assert min(coefficients) >= 0
    assert sum(coefficients) > 0, "forming is not for free"


def test_access_of_a_matrix_is_the_dense_product():
    access = access_of(lx.MatrixLinearOperator(jnp.eye(3), lx.symmetric_tag))
    assert (float(access.product.flops), float(access.product.bytes)) == (18.0, 36.0)
    assert float(access.forming.flops) == float(access.gram.flops) == int(access.rows) == 0
