"""What every conditioner says about itself, held against what it does; a new conditioner is one row of `CONDITIONERS`.

The block has two layers, `[3, 2]` and `[2, 2]`, that lie in it in different orders, and two parameters outside.
"""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnewton import _conditioning as c
from qnewton._conditioning import Conditioning, Definiteness
from qnewton._core.layout import Layout, Piece
from qnewton._core.records import System
from qnewton.testing import symmetric_with_spectrum

LAYOUT = Layout(12, ((Piece(1, 3, 2),), (Piece(8, 2, 2, transposed=True),)), ((0, 1), (7, 1)))
N = LAYOUT.n
# Each example is a dozen dispatches to jax, and there are many properties.
few = settings(max_examples=10)
# Parameters of each output of each layer, by hand: the first layer's rows are its inputs, the second lies transposed.
OUTPUTS = [[1, 3, 5], [2, 4, 6], [8, 9], [10, 11], [0], [7]]

CONDITIONERS = {
    "damp": c.Damp(0.01),
    "shift": c.Shift(0.5),
    "damp-spectral": c.DampSpectral(0.01),
    "damp-trace": c.DampTrace(0.1),
    "damp-to": c.DampTo(30.0),
    "scale-diagonal": c.ScaleDiagonal(),
    "rotate": c.Rotate(),
    "whiten": c.WhitenOutputs(),
    "prune": c.Prune(0.3),
    "prune-rows": c.PruneRows(0.3),
    "threshold": c.Threshold(0.2),
    "matching-2": c.Matching(2),
    "matching-4": c.Matching(4),
    "cliques": c.Cliques(3),
    "output-blocks": c.OutputBlocks(),
    "shift-lowest": c.ShiftLowest(),
    "shift-to": c.ShiftTo(0.2),
    "shift-to-gershgorin": c.ShiftTo(0.2, bound="gershgorin"),
}
BASES = {name: CONDITIONERS[name] for name in ("scale-diagonal", "rotate", "whiten")}
PINCHINGS = {name: CONDITIONERS[name] for name in ("matching-2", "cliques", "output-blocks")}


@functools.cache
def jitted(conditioner: c.AbstractConditioner):
    return jax.jit(conditioner)


def apply(conditioner: c.AbstractConditioner, system: System) -> System:
    return jitted(conditioner)(system, jnp.ones(()))


def system_of(matrix: np.ndarray, *, floor: float = -math.inf, layout: Layout | None = LAYOUT) -> System:
    system = System.of(jnp.asarray(matrix), symmetric=True, eigenvalue_floor=jnp.asarray(floor))
    return dataclasses.replace(system, layout=layout)


def eigenvalues(system: System) -> np.ndarray:
    return np.linalg.eigvalsh(np.asarray(system.matrix))


@st.composite
def definite(draw) -> np.ndarray:
    """Positive definite, in badly scaled parameters."""
    spread = draw(st.floats(0, 4))
    values = np.geomspace(1, 10**-spread, N)
    scales = 10 ** np.random.default_rng(draw(st.integers(0, 99))).uniform(-1, 1, N)
    return symmetric_with_spectrum(values, seed=draw(st.integers(0, 99))) * scales * scales[:, None]


@st.composite
def indefinite(draw) -> np.ndarray:
    low = draw(st.floats(-3, -1e-3))
    return symmetric_with_spectrum(np.linspace(low, 2, N), seed=draw(st.integers(0, 99)))


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


cases = pytest.mark.parametrize("name", CONDITIONERS)


@cases
@few
@given(matrix=definite())
def test_a_definite_matrix_is_treated_as_promised(name: str, matrix: np.ndarray) -> None:
    conditioner = CONDITIONERS[name]
    promise, after = conditioner.guarantee, apply(conditioner, system_of(matrix))
    if not after.symmetric:
        assert promise.definiteness is Definiteness.LOST
        return
    before, values = np.linalg.eigvalsh(matrix), eigenvalues(after)
    if promise.definiteness is not Definiteness.LOST:
        assert values[0] > 0
    raised = (values[-1] / values[0]) / (before[-1] / before[0])
    if promise.condition_number is Conditioning.SAME:
        np.testing.assert_allclose(raised, 1, rtol=1e-9)
    if promise.condition_number is Conditioning.NOT_RAISED:
        assert raised <= 1 + 1e-9


@pytest.mark.parametrize("name", [n for n, k in CONDITIONERS.items() if k.guarantee.definiteness is Definiteness.MADE])
@few
@given(matrix=indefinite())
def test_what_makes_definite_makes_an_indefinite_matrix_so(name: str, matrix: np.ndarray) -> None:
    assert eigenvalues(apply(CONDITIONERS[name], system_of(matrix)))[0] > 0


@cases
@few
@given(matrix=definite(), share=st.floats(0, 1))
def test_a_floor_never_lies_above_the_smallest_eigenvalue(name: str, matrix: np.ndarray, share: float) -> None:
    """Whatever the floor that came in, of the approximation and of what it approximates, in either coordinates."""
    before = np.linalg.eigvalsh(matrix)
    after = apply(CONDITIONERS[name], system_of(matrix, floor=share * before[0]))
    if after.eigenvalue_floor is not None:
        assert after.eigenvalue_floor <= eigenvalues(after)[0] + 1e-12 * before[-1]
    exact = after.unrepaired
    if exact.eigenvalue_floor is not None:
        lowest = np.linalg.eigvalsh(np.asarray(exact.operator.as_matrix()))[0]
        assert exact.eigenvalue_floor <= lowest + 1e-12 * before[-1]
    assert (after.user_floor is not None) == (name in BASES)
    if after.user_floor is not None:
        assert after.user_floor <= before[0] * (1 + 1e-12)


# Bases ---------------------------------------------------------------------------------------------------------------


def dense(system: System) -> np.ndarray:
    """`R`, column by column."""
    return np.asarray(jax.vmap(system.coordinates.back, out_axes=1)(jnp.eye(N)))


@pytest.mark.parametrize("names", [(n,) for n in BASES] + [("rotate", "whiten")], ids="+".join)
@few
@given(matrix=definite())
def test_a_basis_is_a_congruence_and_the_step_undoes_it(names: tuple[str, ...], matrix: np.ndarray) -> None:
    system = system_of(matrix)
    for name in names:
        system = apply(BASES[name], system)
    r = dense(system)
    np.testing.assert_allclose(system.matrix, r.T @ matrix @ r, rtol=0, atol=1e-10 * np.max(np.abs(system.matrix)))
    g = np.random.default_rng(0).standard_normal(N)
    np.testing.assert_allclose(
        system.coordinates.into(jnp.asarray(g)), r.T @ g, rtol=1e-9, atol=1e-9 * np.max(np.abs(r))
    )
    np.testing.assert_allclose(system.coordinates.out_of(system.coordinates.into(jnp.asarray(g))), g, rtol=1e-8)
    y = np.linalg.solve(system.matrix, system.coordinates.into(jnp.asarray(g)))
    exact = np.linalg.solve(matrix, g)
    error = np.asarray(system.coordinates.back(jnp.asarray(y))) - exact
    # In the energy norm, which does not depend on the coordinates.
    assert error @ matrix @ error <= 1e-12 * (exact @ matrix @ exact)


@few
@given(matrix=definite())
def test_the_rotation_diagonalises_the_partial_traces_of_each_layer(matrix: np.ndarray) -> None:
    r = dense(apply(c.Rotate(), system_of(matrix)))
    np.testing.assert_allclose(r.T @ r, np.eye(N), atol=1e-12)
    rotated = r.T @ matrix @ r
    for layer in (OUTPUTS[:2], OUTPUTS[2:4]):
        inputs = sum(rotated[np.ix_(output, output)] for output in layer)
        outputs = np.array([[np.trace(rotated[np.ix_(a, b)]) for b in layer] for a in layer])
        for trace in (inputs, outputs):
            off = trace - np.diag(np.diag(trace))
            assert np.max(np.abs(off)) <= 1e-12 * np.max(np.abs(trace))
    assert rotated[0, 7] == matrix[0, 7]


@few
@given(matrix=definite())
def test_whitening_leaves_identities_in_every_output_and_a_bounded_condition_number(matrix: np.ndarray) -> None:
    after = np.asarray(apply(c.WhitenOutputs(), system_of(matrix)).matrix)
    for output in OUTPUTS:
        np.testing.assert_allclose(after[np.ix_(output, output)], np.eye(len(output)), atol=1e-8)
    assert np.max(np.abs(after)) <= 1 + 1e-8
    # Demmel's bound, against the other block scalings that we know.
    others = [matrix, apply(c.ScaleDiagonal(), system_of(matrix)).matrix]
    assert np.linalg.cond(after) <= len(OUTPUTS) * min(map(np.linalg.cond, others)) * (1 + 1e-9)


@few
@given(matrix=definite(), scales=st.lists(st.floats(-1, 1), min_size=N, max_size=N))
def test_jacobi_s_scaling_is_within_n_of_any_other(matrix: np.ndarray, scales: list[float]) -> None:
    after = np.asarray(apply(c.ScaleDiagonal(), system_of(matrix)).matrix)
    np.testing.assert_allclose(np.diag(after), 1, rtol=1e-12)
    other = 10 ** np.array(scales)
    assert np.linalg.cond(after) <= N * np.linalg.cond(matrix * other * other[:, None]) * (1 + 1e-9)


@few
@given(matrix=indefinite(), name=st.sampled_from(sorted(BASES)))
def test_a_basis_keeps_the_signs_of_an_indefinite_matrix(matrix: np.ndarray, name: str) -> None:
    before, after = np.linalg.eigvalsh(matrix), eigenvalues(apply(BASES[name], system_of(matrix)))
    clear = np.abs(before) > 1e-9
    np.testing.assert_array_equal(np.sign(after)[clear], np.sign(before)[clear])


# Sparsity ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PINCHINGS)
@few
@given(matrix=st.one_of(definite(), indefinite()))
def test_disjoint_blocks_keep_the_spectrum_inside_the_old_one(name: str, matrix: np.ndarray) -> None:
    before, after = np.linalg.eigvalsh(matrix), eigenvalues(apply(PINCHINGS[name], system_of(matrix)))
    assert before[0] - 1e-12 <= after[0]
    assert after[-1] <= before[-1] + 1e-9 * abs(before[-1])


@pytest.mark.parametrize("name", ["prune", "threshold", "matching-4", *PINCHINGS])
@few
@given(matrix=indefinite())
def test_no_eigenvalue_moves_further_than_the_largest_sum_that_left_a_row(name: str, matrix: np.ndarray) -> None:
    after = apply(CONDITIONERS[name], system_of(matrix))
    rho = np.max(np.sum(np.abs(matrix - np.asarray(after.matrix)), axis=1))
    assert np.max(np.abs(eigenvalues(after) - np.linalg.eigvalsh(matrix))) <= rho + 1e-12


def sequential_matching(weights: np.ndarray, partners: int) -> set[tuple[int, int]]:
    room, taken = [partners] * len(weights), set()
    pairs = itertools.combinations(range(len(weights)), 2)
    for i, j in sorted(pairs, key=lambda pair: -weights[pair]):
        if room[i] and room[j] and weights[i, j] > 0:
            taken.add((i, j))
            room[i], room[j] = room[i] - 1, room[j] - 1
    return taken


def sequential_cliques(weights: np.ndarray, size: int) -> list[int]:
    label = list(range(len(weights)))
    pairs = itertools.combinations(range(len(weights)), 2)
    for i, j in sorted(pairs, key=lambda pair: -weights[pair]):
        together = [k for k in label if k in (label[i], label[j])]
        if label[i] != label[j] and len(together) <= size and weights[i, j] > 0:
            low, high = sorted((label[i], label[j]))
            label = [low if k == high else k for k in label]
    return label


def ratios(matrix: np.ndarray) -> np.ndarray:
    roots = np.sqrt(np.abs(np.diag(matrix)))
    return np.abs(matrix) / roots / roots[:, None]


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@few
@given(matrix=definite())
def test_the_matching_is_the_sequential_greedy_one(degree: int, matrix: np.ndarray) -> None:
    after = np.asarray(apply(c.Matching(degree), system_of(matrix)).matrix)
    kept = {(int(i), int(j)) for i, j in np.argwhere(np.triu(after, 1))}
    assert kept == sequential_matching(ratios(matrix), degree - 1)
    assert np.max(np.count_nonzero(after, axis=1)) <= degree
    np.testing.assert_array_equal(after[after != 0], matrix[after != 0])
    np.testing.assert_array_equal(np.diag(after), np.diag(matrix))


@pytest.mark.parametrize("size", [1, 2, 3, 6])
@few
@given(matrix=definite())
def test_the_cliques_are_those_of_kruskal_with_a_cap(size: int, matrix: np.ndarray) -> None:
    after = np.asarray(apply(c.Cliques(size), system_of(matrix)).matrix)
    label = np.array(sequential_cliques(ratios(matrix), size))
    np.testing.assert_array_equal(after != 0, label[:, None] == label)


def test_output_blocks_are_those_of_the_layout() -> None:
    after = np.asarray(apply(c.OutputBlocks(), system_of(np.ones((N, N)))).matrix)
    expected = np.zeros((N, N))
    for output in OUTPUTS:
        expected[np.ix_(output, output)] = 1
    np.testing.assert_array_equal(after, expected)


def test_ties_end() -> None:
    """All entries alike: the rounds must neither run for ever nor take a row twice."""
    equal = np.full((N, N), 0.5) + np.eye(N)
    after = np.asarray(apply(c.Matching(2), system_of(equal)).matrix)
    np.testing.assert_array_equal(np.count_nonzero(after, axis=1), 2)
    blocks = np.asarray(apply(c.Cliques(3), system_of(equal)).matrix)
    assert np.max(np.count_nonzero(blocks, axis=1)) <= 3


@few
@given(matrix=definite(), tau=st.sampled_from([0.05, 0.2]))
def test_the_threshold_does_not_depend_on_units(matrix: np.ndarray, tau: float) -> None:
    kept = np.asarray(apply(c.Threshold(tau), system_of(matrix)).matrix) != 0
    clear = np.abs(ratios(matrix) / tau - 1) > 1e-9
    np.testing.assert_array_equal(kept[clear], (ratios(matrix) >= tau)[clear])


# Repair --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prune", "threshold", "matching-4", "cliques"])
@few
@given(matrix=definite())
def test_compensation_lies_above_the_matrix_and_below_its_bound(name: str, matrix: np.ndarray) -> None:
    pruned = apply(CONDITIONERS[name], system_of(matrix, floor=np.linalg.eigvalsh(matrix)[0]))
    after = apply(c.Compensate(), pruned)
    # The statement is about the matrix with unit diagonal, where no compensation depends on the scales.
    roots = np.sqrt(np.diag(matrix))
    a, compensated = (m / roots / roots[:, None] for m in (matrix, np.asarray(after.matrix)))
    assert np.linalg.eigvalsh(compensated - a)[0] >= -1e-9
    dropped = np.asarray(after.matrix) - np.asarray(pruned.matrix)
    rho = np.max(np.diag(dropped) / np.diag(matrix))
    lowest = np.linalg.eigvalsh(a)[0]
    assert np.linalg.eigvalsh((1 + 2 * rho / lowest) * a - compensated)[0] >= -1e-9 * (1 + rho / lowest)
    # Hence the model decrease, at optimal length, by Kantorovich or better.
    g = np.random.default_rng(1).standard_normal(N)
    x = np.linalg.solve(compensated, g)
    assert (g @ x) ** 2 / (x @ a @ x) / (g @ np.linalg.solve(a, g)) >= 1 / (1 + 2 * rho / lowest) - 1e-9
    assert after.eigenvalue_floor is not None


@pytest.mark.parametrize("smallest", [0.02, 0.3])
@pytest.mark.parametrize("bound", ["cholesky", "gershgorin"])
@few
@given(matrix=st.one_of(definite(), indefinite()))
def test_the_shift_reaches_its_smallest_eigenvalue(smallest: float, bound, matrix: np.ndarray) -> None:
    mean = np.mean(np.diag(matrix))
    if mean <= 1e-3:
        return
    before = np.linalg.eigvalsh(matrix)[0] / mean
    after = apply(c.ShiftTo(smallest, bound=bound), system_of(matrix))
    values = eigenvalues(after) / mean
    assert values[0] >= smallest * (1 - 1e-9)
    assert after.eigenvalue_floor is not None
    assert after.eigenvalue_floor / mean >= smallest * (1 - 1e-12)
    np.testing.assert_allclose(np.trace(np.asarray(after.matrix)), np.trace(matrix), rtol=1e-9)
    assert values[-1] / values[0] <= N / smallest
    if bound == "cholesky" and before < smallest:
        # Close: what the bound lies below the truth is a few per cent of the smallest eigenvalue or of its distance.
        assert values[0] <= smallest + 0.1 * max(1, abs(before))


@few
@given(matrix=st.one_of(definite(), indefinite()), target=st.sampled_from([1.5, 30.0]))
def test_damping_to_a_target_reaches_it(matrix: np.ndarray, target: float) -> None:
    after = apply(c.DampTo(target), system_of(matrix))
    values = eigenvalues(after)
    assert values[0] > 0
    assert values[-1] / values[0] <= target * (1 + 1e-9)
    before = np.linalg.eigvalsh(matrix)
    least = max(0, (before[-1] - target * before[0]) / (target - 1))
    assert after.damping <= least * 1.1 + 0.03 * max(abs(before[0]), abs(before[-1])) * target / (target - 1)


@few
@given(matrix=definite())
def test_spectral_and_trace_damping_are_what_they_say(matrix: np.ndarray) -> None:
    values = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(apply(c.DampSpectral(0.01), system_of(matrix)).damping, 0.01 * values[-1], rtol=0.02)
    np.testing.assert_allclose(apply(c.DampTrace(0.1), system_of(matrix)).damping, 0.1 * np.mean(values), rtol=1e-9)


# Bad input -----------------------------------------------------------------------------------------------------------

BAD = {
    "kappa-below-one": (lambda: c.DampTo(0.9), "target condition number is 0.9: it must be above 1"),
    "kappa-one": (lambda: c.DampTo(1), "target condition number is 1: it must be above 1"),
    "kappa-nan": (lambda: c.DampTo(math.nan), "target condition number is nan"),
    "negative-spectral": (lambda: c.DampSpectral(-1), "relative damping is -1"),
    "no-steps": (lambda: c.DampSpectral(steps=0), "steps is 0"),
    "trace-inf": (lambda: c.DampTrace(math.inf), "relative damping is inf"),
    "tau": (lambda: c.Threshold(1.0), "tau is 1.0: it must lie in [0, 1)"),
    "degree": (lambda: c.Matching(0), "degree is 0: it must be an integer of at least 1"),
    "size": (lambda: c.Cliques(-1), "size is -1"),
    "smallest": (lambda: c.ShiftTo(1.0), "smallest is 1.0: it must lie in (0, 1)"),
    "bound": (lambda: c.ShiftTo(bound="lanczos"), "bound is 'lanczos'"),  # pyright: ignore[reportArgumentType]
    "preset": (lambda: c.preset("balancd"), "did you mean 'balanced'?"),
    "no-layers-rotate": (
        lambda: c.Rotate()(system_of(np.eye(N), layout=None), jnp.ones(())),
        "Rotate needs the layers of the block, and this block of 12 parameters has none",
    ),
    "no-layers-whiten": (
        lambda: c.WhitenOutputs()(system_of(np.eye(N), layout=None), jnp.ones(())),
        "use ScaleDiagonal(), WhitenOutputs(strict=False)",
    ),
    "nothing-dropped": (lambda: c.Compensate()(system_of(np.eye(N)), jnp.ones(())), "nothing to compensate"),
    "basis-between": (
        lambda: c.condition((c.Threshold(0.3), c.ScaleDiagonal(), c.Compensate()), system_of(np.eye(N)), jnp.ones(())),
        "a change of basis or PruneRows may not stand in between",
    ),
    "unsymmetric-shift": (
        lambda: c.ShiftTo(0.1)(System.of(jnp.eye(N), symmetric=False), jnp.ones(())),
        "ShiftTo needs a symmetric matrix",
    ),
    "unsymmetric-target": (
        lambda: c.DampTo(10)(System.of(jnp.eye(N), symmetric=False), jnp.ones(())),
        "DampTo needs a symmetric matrix",
    ),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_the_value(make, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        make()
    assert message in str(caught.value)


@cases
def test_a_zero_block_stays_finite(name: str) -> None:
    """Nothing to scale by: the solve will say that it is singular."""
    after = apply(CONDITIONERS[name], system_of(np.zeros((N, N)), floor=0.0))
    assert np.all(np.isfinite(after.matrix))
    if after.eigenvalue_floor is not None:
        assert after.eigenvalue_floor <= eigenvalues(after)[0]


@cases
def test_an_entry_that_is_not_a_number_stays_visible(name: str) -> None:
    matrix = symmetric_with_spectrum(np.geomspace(1e-3, 1, N))
    matrix[3, 5] = matrix[5, 3] = np.nan
    assert not np.all(np.isfinite(apply(CONDITIONERS[name], system_of(matrix)).matrix))


def test_a_ratio_so_small_that_a_row_would_empty_keeps_the_diagonal() -> None:
    matrix = symmetric_with_spectrum(np.geomspace(1e-3, 1, N))
    after = np.asarray(apply(c.Prune(1e-12), system_of(matrix)).matrix)
    np.testing.assert_array_equal(np.diag(after), np.diag(matrix))
    only = np.asarray(apply(c.Threshold(0.999), system_of(matrix)).matrix)
    assert np.all(np.count_nonzero(only, axis=1) >= 1)


def test_without_layers_the_lenient_bases_fall_back_to_the_diagonal() -> None:
    matrix = symmetric_with_spectrum(np.geomspace(1e-3, 1, N))
    bare = system_of(matrix, layout=None)
    assert c.Rotate(strict=False)(bare, jnp.ones(())) is bare
    np.testing.assert_allclose(
        c.WhitenOutputs(strict=False)(bare, jnp.ones(())).matrix, c.ScaleDiagonal()(bare, jnp.ones(())).matrix
    )
