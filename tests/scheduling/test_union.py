"""A union of states gives back what went in, whatever the solvers keep."""

from typing import Any

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np

from qnewton._scheduling.union import StateUnion

SOLVERS: dict[str, tuple[Any, Any]] = {
    "LU": (lx.LU(), ()),
    "Cholesky": (lx.Cholesky(), lx.positive_semidefinite_tag),
    "QR": (lx.QR(), ()),
    "SVD": (lx.SVD(), ()),
    "Diagonal": (lx.Diagonal(), lx.diagonal_tag),
}
MATRIX = np.diag([3.0, 2.0, 1.0]).astype(np.float32)


def states(matrix):
    return [solver.init(lx.MatrixLinearOperator(matrix, tags), {}) for solver, tags in SOLVERS.values()]


def test_states_of_different_solvers_come_back_as_they_were():
    union = StateUnion(eqx.filter_eval_shape(states, jnp.asarray(MATRIX)))
    shapes = None
    for index, state in enumerate(states(jnp.asarray(MATRIX))):
        slots = union.pack(index, state)
        # The same arrays for every solver, or a switch could not return them.
        assert shapes is None or shapes == [(slot.shape, slot.dtype) for slot in slots]
        shapes = [(slot.shape, slot.dtype) for slot in slots]
        back = union.unpack(index, slots)
        assert jax.tree.structure(back) == jax.tree.structure(state)
        assert eqx.tree_equal(back, state) is not False


def test_the_chosen_state_survives_a_switch_and_solves():
    vector = jnp.asarray([1.0, 2.0, 3.0])

    @jax.jit
    def run(index, matrix):
        union = StateUnion(eqx.filter_eval_shape(states, matrix))
        packed = jax.lax.switch(
            index, [lambda m, i=i: union.pack(i, states(m)[i]) for i in range(len(SOLVERS))], matrix
        )
        solves = [
            lambda slots, i=i, s=solver: s.compute(union.unpack(i, slots), vector, {})[0]
            for i, (solver, _) in enumerate(SOLVERS.values())
        ]
        return jax.lax.switch(index, solves, packed)

    for index in range(len(SOLVERS)):
        np.testing.assert_allclose(run(index, jnp.asarray(MATRIX)), [1 / 3, 1, 3], rtol=1e-6)


def test_slots_are_shared_and_never_within_one_state():
    square, row = jax.ShapeDtypeStruct((2, 2), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.int32)
    union = StateUnion([(square, row), (square,), (square, square)])
    a, b = jnp.eye(2), 2 * jnp.eye(2)
    # Two squares at most and one row: three slots hold them all.
    assert len(union.pack(1, (a,))) == 3
    back = union.unpack(2, union.pack(2, (a, b)))
    np.testing.assert_array_equal(back[0], a)
    np.testing.assert_array_equal(back[1], b)
    # What a solver does not use is zero, and the parts that are not arrays are kept.
    assert sum(float(jnp.abs(slot).sum()) for slot in union.pack(1, (a,))) == 2
    static = StateUnion([{"kept": "as it is", "array": square}])
    assert static.unpack(0, static.pack(0, {"kept": "ignored", "array": a}))["kept"] == "as it is"


SHAPES = st.tuples(st.sampled_from([(), (1,), (2,), (2, 2)]), st.sampled_from([np.float32, np.int32, np.bool_]))


@hypothesis.given(st.lists(st.lists(SHAPES, max_size=4), min_size=1, max_size=4))
def test_any_arrays_come_back(layouts):
    rng = np.random.default_rng(0)
    kept = [
        {f"part {k}": np.asarray(rng.integers(0, 2, shape), dtype) for k, (shape, dtype) in enumerate(layout)}
        for layout in layouts
    ]
    union = StateUnion([{name: jax.ShapeDtypeStruct(a.shape, a.dtype) for name, a in state.items()} for state in kept])
    for index, state in enumerate(kept):
        arrays = {name: jnp.asarray(a) for name, a in state.items()}
        back = union.unpack(index, union.pack(index, arrays))
        assert back.keys() == state.keys()
        for name, array in state.items():
            assert back[name].dtype == array.dtype
            np.testing.assert_array_equal(back[name], array)
    # No more slots of one kind than the state that needs most of them.
    for kind in {shape for layout in layouts for shape in layout}:
        slots = [
            s for s in union.pack(0, {k: jnp.asarray(a) for k, a in kept[0].items()}) if (s.shape, s.dtype) == kind
        ]
        assert len(slots) == max(layout.count(kind) for layout in layouts)
