"""A candidate with conditioning of its own: its system and its price are its own, the residual is everybody's."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import qnewton as q
from qnewton._core.costs import cost_of, total_of
from qnewton._core.records import System
from qnewton._core.status import Refusal, Status
from qnewton._hardware import KernelTimes
from qnewton._hardware.rated import rated_machine
from qnewton.conditioning import PruneRows, Rotate, ScaleDiagonal, ShiftTo, WhitenOutputs
from qnewton.estimators import Automatic, Certified, Exact
from qnewton.scheduling import Fastest, FixedCandidate, KappaThreshold
from qnewton.solvers import Conditioned
from qnewton.testing import symmetric_with_spectrum

N = 12
LIMIT = 1e9


def machine(dtype: str = "float32", **seconds: float) -> q.ClassicalMachine:
    """Seconds of one call, whatever the size."""
    known = {"lu": 1e-3, "cholesky": 5e-4, "cg": 1e-3, "forming": 2.0**-14} | seconds
    kernels = tuple((name, KernelTimes(value, 0.0, 0.0)) for name, value in sorted(known.items()))
    return q.ClassicalMachine("made by hand", dtype, kernels)


def definite(n: int = N) -> np.ndarray:
    return symmetric_with_spectrum(np.geomspace(1, 40, n), seed=3)


def pruned(matrix: np.ndarray, keep: float) -> np.ndarray:
    """The `ceil(keep n)` largest of each row or column, and the diagonal; written down anew."""
    n = len(matrix)
    order = np.argsort(-np.abs(matrix), axis=1, kind="stable")[:, : math.ceil(keep * n)]
    mask = np.zeros((n, n), bool)
    np.put_along_axis(mask, order, values=True, axis=1)
    return np.where(mask | mask.T | np.eye(n, dtype=bool), matrix, 0)


@eqx.filter_jit
def solved(hybrid: Any, matrix: Any, vector: Any) -> Any:
    operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag)
    solution = lx.linear_solve(operator, vector, solver=hybrid, throw=False)
    return solution.value, solution.result, solution.stats["plan"]


@eqx.filter_jit
def planned(hybrid: Any, matrix: Any) -> Any:
    return hybrid.plan(System.of(matrix, symmetric=True))


def test_the_solution_and_the_numbers_are_those_of_the_pruned_and_shifted_system(dtype):
    matrix, vector = definite(), np.random.default_rng(0).standard_normal(N)
    own = Conditioned(q.QLSA(), [q.Prune(0.4), q.Shift(3.0)], tolerance=LIMIT)
    hybrid = q.Hybrid([q.LU(), own], classical=machine(str(dtype)), policy=FixedCandidate(own.name))
    value, result, plan = solved(hybrid, jnp.asarray(matrix, dtype), jnp.asarray(vector, dtype))
    smaller = pruned(matrix, 0.4) + 3 * np.eye(N)
    assert not np.array_equal(smaller != 0, matrix != 0)
    np.testing.assert_allclose(value, np.linalg.solve(smaller, vector), rtol=2e-3 if dtype == "float32" else 1e-10)
    assert result == lx.RESULTS.successful
    (seen,) = plan.own
    assert bool(seen.estimated)
    assert int(seen.estimate.degree) == np.max(np.count_nonzero(smaller, axis=1)) < N
    rtol = 1e-3 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(seen.estimate.condition_number, np.linalg.cond(smaller), rtol=rtol)
    np.testing.assert_allclose(seen.estimate.spectral_norm, np.linalg.norm(smaller, 2), rtol=rtol)
    # The others keep the system as it is.
    np.testing.assert_allclose(plan.estimate.condition_number, np.linalg.cond(matrix), rtol=rtol)
    assert int(plan.estimate.degree) == N


def test_a_basis_of_its_own_is_undone_and_a_set_up_serves_many_right_hand_sides():
    scales = np.geomspace(1e-2, 1e2, N)
    matrix = scales[:, None] * definite() * scales
    own = Conditioned(q.QLSA(stand_in=q.Cholesky()), [ScaleDiagonal(), ShiftTo(1e-3)])
    hybrid = q.Hybrid([q.LU(), own], classical=machine(), policy=FixedCandidate(own.name), solves=2)
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.symmetric_tag)
    state = jax.jit(lambda: hybrid.init(operator, {}))()
    # Each a mixture of two columns, so that their entries are of all sizes.
    for vector in (matrix[:, 0] + matrix[:, 3], matrix[:, 1] - matrix[:, 7]):
        value, result, stats = eqx.filter_jit(hybrid.compute)(state, jnp.asarray(vector, jnp.float32), {})
        assert result == lx.RESULTS.successful
        expected = np.linalg.solve(matrix, vector)
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-3 * np.max(np.abs(expected)))
        unit = matrix / np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
        found = stats["plan"].own[0].estimate.condition_number
        np.testing.assert_allclose(found, np.linalg.cond(unit), rtol=1e-2)
        assert np.linalg.cond(unit) < 0.01 * np.linalg.cond(matrix)


def test_a_conditioning_that_does_nothing_differs_by_its_seconds_alone():
    sets = [q.assumptions.paper(), q.assumptions.paper_sparse()]
    idle = Conditioned(q.QLSA(), [q.Prune(1.0)], always=True)
    hybrid = q.Hybrid([q.LU(), q.QLSA(), idle], classical=machine(), assumptions=sets)
    plan = planned(hybrid, jnp.asarray(definite(), jnp.float32))
    paid = float(plan.own[0].conditioning_seconds + plan.own[0].estimation_seconds)
    # One call of the kernel each, whatever they count.
    assert paid == 2 * 2.0**-14
    offers = plan.offers
    np.testing.assert_allclose(offers.seconds[:, 2], offers.seconds[:, 1] + paid, rtol=1e-6)
    np.testing.assert_allclose(offers.fixed_seconds[:, 2], offers.fixed_seconds[:, 1] + paid, rtol=1e-6)
    for name in ("queries", "copies", "success_probability", "clamped", "refusal"):
        field = getattr(offers, name)
        np.testing.assert_array_equal(field[:, 2], field[:, 1])
    np.testing.assert_array_equal(plan.own[0].without.queries[:, 0], offers.queries[:, 1])


def test_moved_from_everybody_to_the_candidate_the_queries_stay_and_others_keep_their_system():
    matrix = jnp.asarray(definite(), jnp.float32)
    sets = [q.assumptions.paper_sparse()]
    how: dict[str, Any] = {"classical": machine(), "assumptions": sets}
    shared = q.Prune(0.4)(System.of(matrix, symmetric=True), jnp.float32(1))
    for_all = planned(q.Hybrid([q.Cholesky(), q.QLSA()], **how), shared.matrix)
    own = Conditioned(q.QLSA(), [q.Prune(0.4)], always=True)
    for_one = planned(q.Hybrid([q.Cholesky(), own], **how), matrix)
    np.testing.assert_array_equal(for_one.offers.queries[0, 1], for_all.offers.queries[0, 1])
    bare = planned(q.Hybrid([q.Cholesky(), q.QLSA()], **how), matrix)
    np.testing.assert_array_equal(for_one.offers.seconds[0, 0], bare.offers.seconds[0, 0])
    np.testing.assert_array_equal(for_one.own[0].without.queries[0, 0], bare.offers.queries[0, 1])


class Counting(q.estimators.AbstractEstimator):
    """Notes every estimate that is really made."""

    made: list = eqx.field(static=True)

    def __call__(self, system: System) -> Any:
        jax.debug.callback(lambda: self.made.append(1))
        return Exact()(system)

    def __hash__(self) -> int:
        return id(self)


def test_it_is_estimated_only_where_it_could_win_and_choices_are_the_same():
    # Cholesky is faster than any quantum solve could be and LU slower; only a definite system goes to Cholesky.
    made: list = []
    how: dict[str, Any] = {
        "classical": machine(cholesky=1e-9),
        "quantum": q.QuantumMachine(1e-12),
        "estimator": Counting(made),
    }
    systems = [definite(), definite() - 20 * np.eye(N), definite() - 2 * np.eye(N)]
    expected = []
    for always in (True, False):
        own = Conditioned(q.QLSA(), [q.Shift(100.0)], always=always)
        hybrid = q.Hybrid([q.Cholesky(), q.LU(), own], **how)
        for matrix in systems:
            made.clear()
            plan = jax.block_until_ready(planned(hybrid, jnp.asarray(matrix, jnp.float32)))
            jax.effects_barrier()
            indefinite = np.linalg.eigvalsh(matrix)[0] < 0
            assert bool(plan.own[0].estimated) == (always or indefinite)
            assert len(made) == 1 + (always or indefinite)
            assert int(plan.choice[0]) == (2 if indefinite else 0)
            if always:
                expected.append(np.asarray(plan.offers.seconds[0]))
                continue
            known = expected.pop(0)
            if indefinite:
                np.testing.assert_array_equal(plan.offers.seconds[0], known)
            else:
                # What was not estimated is a bound, below the truth and above the winner.
                assert known[0] < float(plan.offers.seconds[0, 2]) <= known[2]
                assert int(plan.offers.refusal[0, 2]) == Refusal.UNDERCUT
                assert float(plan.offers.log_condition_number[2]) == math.inf


def test_a_threshold_sees_the_condition_number_of_each_candidates_system():
    own = Conditioned(q.QLSA(), [q.Shift(100.0)])
    hybrid = q.Hybrid(
        [q.LU(), q.QLSA(), own],
        classical=machine(lu=1.0),
        quantum=q.QuantumMachine(1e-12),
        policy=KappaThreshold(10.0),
    )
    plan = planned(hybrid, jnp.asarray(definite(), jnp.float32))
    assert plan.offers.refusal.tolist() == [[0, Refusal.ABOVE_THRESHOLD, 0]]
    assert int(plan.choice[0]) == 2
    np.testing.assert_allclose(np.exp(plan.offers.log_condition_number), [40, 40, 140 / 101], rtol=1e-4)


def test_the_result_is_about_the_system_that_was_handed_over():
    matrix, vector = definite(), np.random.default_rng(1).standard_normal(N)
    operator = lx.MatrixLinearOperator(jnp.asarray(matrix, jnp.float32), lx.positive_semidefinite_tag)
    for keep, tolerance, good in ((0.3, 0.1, False), (0.3, LIMIT, True), (1.0, 1e-3, True)):
        solver = Conditioned(q.LU(), [q.Prune(keep)], tolerance=tolerance)
        solution = lx.linear_solve(operator, jnp.asarray(vector, jnp.float32), solver=solver, throw=False)
        left = matrix @ np.linalg.solve(pruned(matrix, keep), vector) - vector
        expected = np.linalg.norm(left) / np.linalg.norm(vector)
        np.testing.assert_allclose(solution.stats["residual"], expected, rtol=1e-3, atol=1e-5)
        assert (solution.result == lx.RESULTS.successful) == good == (expected <= tolerance)


def regression() -> tuple[q.Objective, Any, Any, np.ndarray, np.ndarray]:
    """Least squares in six parameters: objective, parameters, batch, Gauss-Newton matrix and gradient."""
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((9, 6)), rng.standard_normal(9)
    objective = q.Objective(lambda params, x: x @ params["w"], lambda output, target: (output - target) ** 2)
    params = {"w": jnp.zeros(6, jnp.float32)}
    batch = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    return objective, params, batch, 2 * x.T @ x / 9, -2 * x.T @ y / 9


@pytest.mark.parametrize("keep", [0.8, 0.2])
def test_in_newton_the_step_counts_where_the_shared_system_bears_it_out(keep):
    objective, params, batch, curvature, gradient = regression()
    own = Conditioned(q.QLSA(), [q.Prune(keep)])
    hybrid = q.Hybrid([q.Cholesky(), q.LU(), own], classical=machine(), policy=FixedCandidate(own.name))
    optimizer: Any = q.newton(
        objective,
        family="blocks",
        solver=hybrid,
        conditioning=[q.Damp(0.1)],
        adaptation=q.Fixed(),
        residual_tolerance=0.2,
    )
    state = optimizer.init(params)
    update = jax.jit(
        lambda state, params: optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
    )
    updates, after = update(state, params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    (info,) = after.info.blocks
    shared = curvature + 0.1 * np.max(np.abs(curvature)) * np.eye(6)
    direction = np.linalg.solve(pruned(shared, keep), gradient)
    residual = np.linalg.norm(shared @ direction - gradient) / np.linalg.norm(gradient)
    np.testing.assert_allclose(info.relative_residual, residual, rtol=1e-3, atol=1e-5)
    assert int(info.status) == (Status.OK if residual <= 0.2 else Status.NOT_SOLVED)
    assert (residual <= 0.2) == (keep == 0.8), "one of each kind"
    np.testing.assert_allclose(updates["w"], -(direction if residual <= 0.2 else gradient), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        info.plan.own[0].estimate.condition_number, np.linalg.cond(pruned(shared, keep)), rtol=1e-3
    )


def test_a_block_that_is_not_formed_is_formed_for_it_alone_and_it_pays():
    objective, params, batch, curvature, gradient = regression()
    own = Conditioned(q.QLSA(), [q.Prune(0.8)])
    hybrid = q.Hybrid([q.CG(1e-6), own], classical=machine(), policy=FixedCandidate(own.name))
    assert hybrid.keeps_unformed(floor=True)
    optimizer: Any = q.newton(
        objective, family="blocks", solver=hybrid, conditioning=[q.Damp(0.1)], adaptation=q.Fixed()
    )
    step = jax.jit(lambda s, p: optimizer.update(jax.grad(objective)(p, batch), s, p, batch=batch))
    updates, after = step(optimizer.init(params), params)
    shared = curvature + 0.1 * np.max(np.abs(curvature)) * np.eye(6)
    np.testing.assert_allclose(updates["w"], -np.linalg.solve(pruned(shared, 0.8), gradient), rtol=2e-3, atol=1e-4)
    # Formed and conditioned twice, estimated once: calls of one kernel, which counts each once.
    (seen,) = after.info.blocks[0].plan.own
    assert float(seen.conditioning_seconds) == 3 * 2.0**-14
    assert float(seen.estimation_seconds) == 2.0**-14


def test_equal_layers_share_a_body_and_each_is_taken_to_its_own_basis_and_back():
    rng = np.random.default_rng(7)
    x, y = (jnp.asarray(rng.standard_normal((10, 3)), jnp.float32) for _ in range(2))
    params = {name: {"w": jnp.asarray(rng.standard_normal((3, 3)), jnp.float32)} for name in "ab"}

    def predict(params: Any, x: Any) -> Any:
        return jnp.tanh(x @ params["a"]["w"]) @ params["b"]["w"]

    objective = q.Objective(predict, lambda output, target: jnp.sum((output - target) ** 2, axis=-1))
    own = Conditioned(q.QLSA(), [Rotate(), WhitenOutputs()])
    hybrid = q.Hybrid([q.Cholesky(), own], classical=machine(), policy=FixedCandidate(own.name))
    how: dict[str, Any] = {"conditioning": [q.Damp(0.1)], "adaptation": q.Fixed(), "partition": q.per_layer}
    optimizer: Any = q.newton(objective, family="blocks", solver=hybrid, **how)
    step = jax.jit(lambda s, p: optimizer.update(jax.grad(objective)(p, (x, y)), s, p, batch=(x, y)))
    updates, after = step(optimizer.init(params), params)
    gradients = jax.grad(objective)(params, (x, y))
    for name, info in zip("ab", after.info.blocks, strict=True):
        jacobian = np.asarray(jax.jacobian(predict)(params, x)[name]["w"], float).reshape(30, 9)
        matrix = 2 * jacobian.T @ jacobian / 10
        matrix += 0.1 * np.max(np.abs(matrix)) * np.eye(9)
        expected = -np.linalg.solve(matrix, np.asarray(gradients[name]["w"], float).ravel())
        np.testing.assert_allclose(updates[name]["w"].ravel(), expected, rtol=1e-3, atol=1e-5)
        assert int(info.status) == Status.OK
        np.testing.assert_allclose(info.plan.estimate.condition_number, np.linalg.cond(matrix), rtol=1e-3)
        # K-FAC's basis, whitened: better conditioned, and found with the layers that the block has.
        assert float(info.plan.own[0].estimate.condition_number) < 0.8 * np.linalg.cond(matrix)


def test_what_is_paid_for_is_counted():
    def factor(matrix: Any) -> Any:
        return jax.lax.linalg.lu(matrix)[0]

    like = jax.ShapeDtypeStruct((48, 48), jnp.float32)
    assert cost_of(factor, like).flops == pytest.approx(2 / 3 * 48**3)
    counts = []
    for n in (32, 64):
        system = System.of(jnp.ones((n, n), jnp.float32), symmetric=True)
        shift = total_of(Conditioned(q.LU(), [q.Shift(1.0)]).conditioning_costs(system))
        # The identity, by comparing numbers of rows and columns, its multiple and the sum.
        assert n**2 <= shift.flops <= 5 * n**2
        counts.append(total_of(Conditioned(q.LU(), [q.Prune(0.5)]).conditioning_costs(system)).flops)
    # Two dozen passes over the matrix.
    assert counts[0] > 24 * 32**2
    assert counts[1] == pytest.approx(4 * counts[0], rel=0.2)


def test_calibration_and_profile_know_its_kernel():
    own = Conditioned(q.QLSA(), [q.Prune(0.5)])
    found = q.calibrate([q.LU(), own], sizes=(2, 4, 8), repeats=1)
    assert {name for name, _ in found.kernels} == {"lu", "forming"}
    hybrid = q.Hybrid([q.LU(), own])
    plan = planned(hybrid, jnp.asarray(definite(), jnp.float32))
    assert float(plan.own[0].conditioning_seconds) > 0


A_CLASS: Any = q.QLSA
ONE: Any = q.Prune(0.5)
BAD = {
    "a class": (lambda: Conditioned(A_CLASS, [q.Prune(0.5)]), "inner solver of Conditioned"),
    "one conditioner": (lambda: Conditioned(q.QLSA(), ONE), r"is one Prune: give a sequence"),
    "no conditioner": (lambda: Conditioned(q.QLSA(), []), r"no conditioner: name one, e.g. \[Prune\(0.5\)\]"),
    "itself": (lambda: Conditioned(Conditioned(q.LU(), [q.Shift(1.0)]), [q.Shift(1.0)]), "into one"),
    "a root": (lambda: Conditioned(q.Dual(), [q.Shift(1.0)]), "Dual is no inner solver of Conditioned"),
    "layers": (lambda: Conditioned(q.CG(preconditioner=q.KFAC()), [q.Shift(1.0)]), "no inner solver"),
    "no tolerance": (lambda: Conditioned(q.LU(), [q.Shift(1.0)], tolerance=0.0), "tolerance is 0.0"),
    "inside": (
        lambda: q.Hybrid([q.Refine(Conditioned(q.LU(), [q.Shift(1.0)]))]),
        "Put Conditioned outermost, around Refine",
    ),
    "twice": (
        lambda: q.Hybrid([Conditioned(q.LU(), [q.Shift(1.0)]), Conditioned(q.LU(), [q.Shift(1.0)], tolerance=1.0)]),
        "the same solver twice",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD.keys())
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_names_tell_candidates_apart():
    several = [
        q.QLSA(),
        Conditioned(q.QLSA(), [q.Prune(0.5)]),
        Conditioned(q.QLSA(), [q.Prune(0.25)]),
        Conditioned(q.QLSA(), [q.Damp(offset=0.5)]),
        Conditioned(q.QLSA(), [q.Damp(0.5)]),
    ]
    names = q.Hybrid(several).names
    assert len(set(names)) == 5
    assert names[1] == "Conditioned(QLSA(jennings2023v1), Prune(0.5))"


def test_who_needs_symmetry_is_not_left_an_unsymmetric_system():
    own = Conditioned(q.Cholesky(), [PruneRows(0.5)])
    with pytest.raises(ValueError, match="leaves an unsymmetric system, and Cholesky needs a symmetric one"):
        planned(q.Hybrid([q.LU(), own], classical=machine()), jnp.asarray(definite(), jnp.float32))
    # Of an unsymmetric system it is no candidate, as Cholesky itself is none.
    own = Conditioned(q.Cholesky(), [q.Shift(1.0)])
    hybrid = q.Hybrid([q.LU(), own], classical=machine(), estimator=Automatic(), policy=Fastest())
    matrix = jnp.asarray(definite() + np.triu(np.ones((N, N))), jnp.float32)
    plan = eqx.filter_jit(lambda a: hybrid.plan(System.of(a, symmetric=False)))(matrix)
    assert int(plan.offers.refusal[0, 1]) in (Refusal.NOT_SYMMETRIC, Refusal.UNDERCUT)
    assert int(plan.choice[0]) == 0


@pytest.mark.parametrize("optimizer", ["kfac", "dual_newton", "fisher_newton"])
def test_groups_refuse_it_in_one_sentence(optimizer):
    objective = regression()[0]
    hybrid = q.Hybrid([q.Cholesky(), Conditioned(q.QLSA(), [q.Prune(0.5)])])
    with pytest.raises(TypeError, match=f"{optimizer}: solver has the candidate .*family='blocks'"):
        getattr(q, optimizer)(objective, solver=hybrid)


def test_where_a_certificate_is_enough_it_pays_for_itself():
    """By the measured profile of a processor, on a modelled machine of one nanosecond a query.

    A shift leaves a proven floor, so that bounds on the other end certify the condition number in two passes over the
    matrix, which is less than Cholesky's factor from some hundred rows on. The bare solver's queries take longer.
    """
    n, floor, shift = 512, 1.0, 300.0
    matrix = jnp.asarray(symmetric_with_spectrum(np.geomspace(floor, 1e4, n), seed=1), jnp.float32)
    own = Conditioned(q.QLSA(), [q.Shift(shift)])
    hybrid = q.Hybrid(
        [q.Cholesky(fallback=True), q.QLSA(), own],
        estimator=Certified(),
        classical=rated_machine(["cholesky", "forming"], "float32", probe=False),
        quantum=q.QuantumMachine(1e-9),
    )
    plan = eqx.filter_jit(lambda a: hybrid.plan(System.of(a, symmetric=True, eigenvalue_floor=jnp.float32(floor))))(
        matrix
    )
    (seen,) = plan.own
    cholesky, bare, conditioned = (float(one) for one in plan.offers.seconds[0])
    assert int(plan.choice[0]) == 2
    assert bool(seen.estimated)
    assert conditioned < cholesky < bare
    paid = float(seen.conditioning_seconds + seen.estimation_seconds)
    assert paid < conditioned
    # What it bought: the queries of a condition number that is certified for the shifted matrix.
    truth = (1e4 + shift) / (floor + shift)
    spectrum = np.geomspace(floor, 1e4, n) + shift
    assert truth <= float(seen.estimate.condition_number) <= 1.01 * np.linalg.norm(spectrum) / (floor + shift)
    assert float(seen.without.queries[0, 0]) > 20 * float(plan.offers.queries[0, 2])
    np.testing.assert_allclose(seen.without.seconds[0, 0], bare, rtol=1e-6)
    # Nobody else sees the shift.
    assert float(plan.estimate.condition_number) > 20 * truth


def test_estimates_are_predicted_by_the_kernels_that_they_run():
    """A factorisation that is a hundred times slower makes the estimate slower by what that takes, and nothing else."""
    matrix = jnp.asarray(definite(80), jnp.float32)
    own = Conditioned(q.QLSA(), [q.Prune(0.5)], always=True)
    seconds = []
    for slower in (1.0, 100.0):
        kernels = {"lu": 1e-9, "cholesky": 1e-9, "forming": 1e-9}
        kernels["lu"] *= slower
        machine = q.ClassicalMachine("test", "float32", tuple((k, KernelTimes(0, 0, s)) for k, s in kernels.items()))
        (seen,) = planned(q.Hybrid([q.LU(), own], classical=machine), matrix).own
        seconds.append(float(seen.estimation_seconds))
    # One factor of 2/3 n^3 operations in the search for the smallest singular value.
    factors = (seconds[1] - seconds[0]) / (99 * 1e-9 * 2 / 3 * 80**3)
    assert factors == pytest.approx(round(factors), rel=1e-3)
    assert round(factors) >= 1
