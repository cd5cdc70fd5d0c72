"""What emulated circuits execute over many systems, right-hand sides and keys, against what they are charged."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest
from scipy.stats import binomtest

import qnewton as q
from qnewton._core.records import Encoding, System
from qnewton._solvers.quantum.emulated.walk import Walk, _walk

KAPPAS = (1.0, 1.2, 1.5, 2.0, 3.0, 10.0, 100.0)
ROWS, DRAWS = 4, 24
SEED = 20

CASES = {
    "walk": q.EmulatedWalk(1e-2),
    "walk, coarse": q.EmulatedWalk(0.6),
    "walk, definite": q.EmulatedWalk(1e-2, definite=True),
    "walk, definite and coarse": q.EmulatedWalk(0.6, definite=True),
    "qsvt": q.EmulatedQSVT(1e-3),
    "qsvt, repeated": q.EmulatedQSVT(1e-1, amplification=q.emulation.Repeated()),
    "qsvt, unknown": q.EmulatedQSVT(1e-3, amplification=q.emulation.UnknownAmplitude()),
    "reflection": q.EmulatedReflection(1e-2),
    "reflection, fine": q.EmulatedReflection(1e-4),
}

# Times its charge that a solve executes in no more than that share of the solves, as `AbstractEmulated` says.
TAILS = {q.EmulatedWalk: (1 + 1e-9, 0.0), q.EmulatedQSVT: (1 + 1e-9, 0.0), q.EmulatedReflection: (1.5, 0.05)}


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def _systems(kappa, *, definite, seed=SEED, draws=DRAWS, rows=ROWS):
    """Random symmetric matrices with both ends of the spectrum attained, spread evenly or by their logarithms."""
    rng = np.random.default_rng([seed, round(10 * kappa)])
    matrices = []
    for draw in range(draws):
        values = rng.uniform(1 / kappa, 1, rows) if draw % 2 else np.exp(rng.uniform(-np.log(kappa), 0, rows))
        values[:2] = 1 / kappa, 1.0
        if not definite:
            values = values * rng.choice([-1, 1], rows)
        vectors = np.linalg.qr(rng.standard_normal((rows, rows)))[0]
        matrices.append((vectors * values) @ vectors.T)
    matrices = np.stack(matrices)
    return (matrices + matrices.transpose(0, 2, 1)) / 2, rng.standard_normal((draws, rows))


@pytest.mark.parametrize("solver", CASES.values(), ids=CASES.keys())
def test_no_more_is_executed_on_average_than_is_charged(solver):
    definite = isinstance(solver, q.EmulatedWalk) and solver.definite
    tag = lx.positive_semidefinite_tag if definite else lx.symmetric_tag

    @jax.jit
    @jax.vmap
    def executed(matrix, vector):
        return lx.linear_solve(lx.MatrixLinearOperator(matrix, tag), vector, solver, throw=False).stats["queries"]

    drawn = [_systems(kappa, definite=definite) for kappa in KAPPAS]
    matrices, vectors = (np.concatenate(part) for part in zip(*drawn, strict=True))
    charged = np.asarray([float(solver.count(Encoding(k, 1.0), solver.precision).queries) for k in KAPPAS])
    ratios = np.asarray(executed(matrices, vectors)).reshape(len(KAPPAS), DRAWS) / charged[:, None]
    means = ratios.mean(axis=1)
    # Three standard errors above the mean stay below the charge, of each condition number; one is for rounding.
    errors = ratios.std(axis=1, ddof=1) / DRAWS**0.5
    assert (means + 3 * errors <= 1 + 1e-9).all(), dict(zip(KAPPAS, means + 3 * errors, strict=True))
    # And the charge is of the size of what is executed; of EmulatedQSVT's see the worst right-hand side below.
    lower = means[:4] if isinstance(solver, q.EmulatedQSVT) else means
    assert (lower >= 0.4).all()
    times, share = TAILS[type(solver)]
    exceeding = int(np.sum(ratios > times))
    assert binomtest(exceeding, ratios.size, share, alternative="greater").pvalue > 1e-3
    # What was published stays at hand, and the circuit's own count is not below it.
    published = [float(solver.published(Encoding(k, 1.0), solver.precision).queries) for k in KAPPAS]
    assert (charged >= 0.98 * np.asarray(published)).all()


@pytest.mark.parametrize("name", ["qsvt", "qsvt, repeated", "qsvt, unknown"])
def test_the_charge_of_a_worst_case_is_what_the_worst_right_hand_side_takes(name):
    """Along the eigenvector of the largest eigenvalue, which has the shortest solution."""
    solver = CASES[name]

    @jax.jit
    @jax.vmap
    def executed(matrix, vector):
        operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag)
        return lx.linear_solve(operator, vector, solver, throw=False).stats["queries"]

    matrices = np.stack([_systems(kappa, definite=False, draws=1)[0][0] for kappa in KAPPAS])
    values, vectors = np.linalg.eigh(matrices)
    worst = np.take_along_axis(vectors, np.argmax(np.abs(values), axis=1)[:, None, None], axis=2)[:, :, 0]
    charged = np.asarray([float(solver.count(Encoding(k, 1.0), solver.precision).queries) for k in KAPPAS])
    ratios = np.asarray(executed(matrices, worst)) / charged
    assert (ratios <= 1 + 1e-9).all(), ratios
    assert (ratios >= 0.4).all(), ratios


def test_the_walks_constants_are_those_of_the_whole_state():
    # Norms of the whole state, ancillas included: what the filter and its failures have to deal with.
    walk = jax.jit(_walk)
    for definite, low, high in ((True, 0.2, 1.84), (False, 1.84, 3.9)):
        kappa, steps, rms = 50.0, 382, []
        for draw in range(12):
            rng = np.random.default_rng(draw)
            values = np.concatenate([[1 / kappa, 1.0], rng.uniform(1 / kappa, 1, 2)])
            values = values if definite else values * rng.choice([-1, 1], 4)
            b = rng.standard_normal(4)
            b = b / np.linalg.norm(b)
            start = b[None] if definite else np.stack([b, b]) / np.sqrt(2)
            plan = Walk(jnp.asarray(float(steps)), jnp.zeros(()), jnp.asarray(kappa))
            exact = b / values / np.linalg.norm(b / values)
            exact = exact[None] if definite else np.stack([exact, exact]) / np.sqrt(2)
            overlap = np.sum(np.asarray(walk(plan, jnp.asarray(values), jnp.asarray(start))) * exact)
            rms.append(2 - 2 * abs(overlap))
        assert low <= np.sqrt(np.mean(rms)) * steps / kappa <= high


def test_hybrid_charges_for_the_circuit_that_it_builds():
    matrices, vectors = _systems(5.0, definite=False)
    machine = q.ClassicalMachine("made by hand", "float64", ())
    for solver in (
        q.EmulatedQSVT(1e-2),
        q.EmulatedWalk(1e-2),
        q.EmulatedQSVT(1e-2, kappa=40.0),
        q.EmulatedWalk(1e-2, kappa=40.0, norm=3.0),
    ):
        # An estimate of the norm, which circuits raise by 5 %: at the estimate's own numbers too little is charged.
        hybrid = q.Hybrid([solver], estimator=q.estimators.InverseLanczos(), classical=machine)

        @eqx.filter_jit
        def solve(matrix, vector, hybrid=hybrid):
            operator = lx.MatrixLinearOperator(matrix, lx.symmetric_tag)
            stats = lx.linear_solve(operator, vector, hybrid, throw=False).stats
            return stats["executed"].queries, stats["plan"].offers.queries[0, 0]

        found = np.asarray([solve(m, b) for m, b in zip(matrices[:6], vectors[:6], strict=True)])
        assert (found[:, 0] <= found[:, 1]).all()
        if isinstance(solver, q.EmulatedWalk):
            assert (found[:, 0] >= 0.6 * found[:, 1]).all()


def test_a_promised_condition_number_is_charged_in_a_circuit_as_well():
    system = System.of(jnp.eye(2), symmetric=True)
    bare, promised = (
        q.Hybrid([solver], classical=q.ClassicalMachine("made by hand", "float64", ()))
        for solver in (q.CircuitQSVT(1e-2), q.CircuitQSVT(1e-2, kappa=30.0))
    )
    expected = q.CircuitQSVT(1e-2).count(Encoding(30.0, 1.0), 1e-2).queries
    assert float(promised.plan(system).offers.queries[0, 0]) == pytest.approx(float(expected), rel=1e-6)
    assert float(bare.plan(system).offers.queries[0, 0]) < float(expected) / 10
