"""Systems that go to workers from inside of a compiled step, and their solutions that come back.

The step hands a formed system over as soon as it is there and forms the next one; all solutions are waited for
afterwards. Both happen in callbacks on the host, which order themselves by the numbers that they return. Floats cross
as 32-bit words, since a callback may run in a thread for which `jax.enable_x64` does not hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Bool, Float, Int

from .._core.records import System
from .._core.status import Verdict
from .._solvers.base import Options
from .._solvers.flat import without_tags
from .branches import Executed, Known
from .hybrid import Hybrid
from .plan import Plan
from .sent import Crew, Program, Sent


@dataclass(eq=False)
class Courier:
    """The way of a step's systems to workers and back, while the step is traced.

    Attributes:
        crew: on the host.
        names: of the blocks.
        tolerance: largest relative residual that counts as solved.
        ticket: of what was sent last: who takes it comes later.
    """

    crew: Crew
    names: Sequence[str]
    tolerance: float
    ticket: Int[Array, ""] = field(default_factory=lambda: jnp.zeros((), jnp.int32))

    def send(
        self,
        block: int,
        scheduler: Hybrid,
        operator: lx.AbstractLinearOperator,
        vector: Float[Array, " n"],
        options: Options,
    ) -> Callable[[], tuple[Float[Array, " n"], Plan, Int[Array, ""], Executed, Bool[Array, ""]]]:
        """Plan a system and hand it over.

        Args:
            block: its place in the step.
            scheduler: with the candidates.
            operator: the system, as it travels: its matrix, or an operator that is arrays and their places alone.
            vector: its right-hand side.
            options: of the solve, as of `Hybrid.init`.

        Returns:
            What waits for the solution, and returns it with plan, iterations, what circuits did, and whether it is that
            of an earlier step's system. To be called once everything is sent.
        """
        state = scheduler.init(operator, options | {"once": True})
        plan = state.plan
        parts = operator.matrix if isinstance(operator, lx.MatrixLinearOperator) else operator
        whole = (parts, vector, state.known, tuple(plan.estimate_for(i) for i in range(len(scheduler.names))))
        numbers, rest = eqx.partition(whole, eqx.is_array)
        leaves, structure = jax.tree.flatten(numbers)
        skeleton = jax.tree.unflatten(structure, range(len(leaves)))
        program = Program(scheduler.solvers, rest[2], rest[3], skeleton, vector.size, str(vector.dtype))
        types = [np.dtype(leaf.dtype) for leaf in leaves]
        seconds = jnp.where(plan.offers.able[0], plan.offers.seconds[0], jnp.inf).astype(jnp.float32)
        on = self._on_workers(scheduler, operator, plan, state.known, options)
        choice = jnp.where(plan.verdict[0] == Verdict.NOBODY, -1, plan.choice[0])

        def host(_: Array, seconds: Array, choice: Array, on: dict[str, Array], *words: Array) -> np.ndarray:
            arrays = [_from_words(one, dtype) for one, dtype in zip(words, types, strict=True)]
            of_block = block, len(self.names), self.names[block], program, self.tolerance
            rows = {worker: np.array(row, np.float64) for worker, row in on.items()}
            self.crew.send(Sent(*of_block, np.array(seconds, np.float64), int(choice), arrays, rows))
            return np.asarray(block, np.int32)

        # What is sent later waits for this one.
        self.ticket = io_callback(
            host, jax.ShapeDtypeStruct((), jnp.int32), self.ticket, seconds, choice, on, *map(_as_words, leaves)
        )

        def comes() -> tuple[Float[Array, " n"], Plan, Int[Array, ""], Executed, Bool[Array, ""]]:
            value, numbers, taken, age = self._answer(block, vector)
            own = jax.eval_shape(lambda: scheduler.compute(state, vector, {})[0])
            value, iterations, executed = jax.lax.cond(
                taken, lambda: _executed(value.astype(own.dtype), numbers), lambda: _computed(scheduler, state, vector)
            )
            return value, plan, iterations, executed, age > 0

        return comes

    def _on_workers(
        self, scheduler: Hybrid, operator: lx.AbstractLinearOperator, plan: Plan, known: Known, options: Options
    ) -> dict[str, Float[Array, " candidates"]]:
        """Return what is predicted of each worker that was calibrated."""
        facts = {"symmetric": known.symmetric, "eigenvalue_floor": options.get("eigenvalue_floor")}
        system = System.over(without_tags(operator), **facts, layout=known.layout)
        return {
            worker: scheduler.seconds_on(machine, system, plan.estimate, options.get("turn")).astype(jnp.float32)
            for worker, machine in self.crew.calibrations.items()
        }

    def _answer(self, block: int, vector: Array) -> tuple[Array, Array, Array, Array]:
        dtype, n = np.dtype(vector.dtype), vector.size

        def host(_: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
            found = self.crew.wait(block)
            if found is None:
                return (
                    _to_words(np.zeros(n, dtype)),
                    np.zeros(4, np.float32),
                    np.asarray(False),
                    np.asarray(0, np.int32),
                )
            numbers = np.asarray([found.iterations, found.queries, found.success_probability, found.outcome])
            value = _to_words(np.ascontiguousarray(found.value, dtype))
            return value, numbers.astype(np.float32), np.asarray(True), np.asarray(found.age, np.int32)

        shape = (n,) if dtype.itemsize == 4 else (n, dtype.itemsize // 4)
        likes = (
            jax.ShapeDtypeStruct(shape, jnp.uint32),
            jax.ShapeDtypeStruct((4,), jnp.float32),
            jax.ShapeDtypeStruct((), jnp.bool_),
            jax.ShapeDtypeStruct((), jnp.int32),
        )
        words, numbers, taken, age = io_callback(host, likes, self.ticket)
        # One waits for the other, so that answers are looked at in one order.
        self.ticket = age + self.ticket
        return jax.lax.bitcast_convert_type(words, dtype), numbers, taken, age


def _executed(value: Array, numbers: Array) -> tuple[Array, Array, Executed]:
    executed = Executed(numbers[1].astype(value.dtype), numbers[2].astype(value.dtype), numbers[3].astype(jnp.int32))
    return value, numbers[0].astype(jnp.int32), executed


def _computed(scheduler: Hybrid, state: Any, vector: Array) -> tuple[Array, Array, Executed]:
    value, _, stats = scheduler.compute(state, vector, {})
    return value, stats["num_steps"], stats["executed"]


def _as_words(leaf: Array) -> Array:
    if jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.itemsize >= 4:
        return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    return leaf


def _from_words(words: Any, dtype: np.dtype) -> np.ndarray:
    array = np.asarray(words, order="C")
    if array.dtype == np.uint32 and np.issubdtype(dtype, np.floating):
        array = array.view(dtype)
        return array[..., 0] if dtype.itemsize > 4 else array
    return array


def _to_words(value: np.ndarray) -> np.ndarray:
    words = value.dtype.itemsize // 4
    return value.view(np.uint32).reshape(value.shape if words == 1 else (*value.shape, words))
