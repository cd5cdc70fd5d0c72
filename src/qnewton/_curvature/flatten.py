"""A jaxpr as one flat list of equations, with wrapper jaxprs inlined."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
from jax.extend import core as jex
from jaxtyping import Array

from .._core.jaxprs import Atom, aval

# Primitives that only rename what another jaxpr computes. Derivative rules of one's own (custom_jvp_call) stay whole,
# and so do loops and branches.
_TRANSPARENT = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr"}
_TRANSPARENT |= {"checkpoint": "jaxpr", "eval_jaxpr": "call_jaxpr"}


@dataclass(frozen=True)
class Slot:
    """A variable of the flattened program."""

    number: int


Operand: TypeAlias = Slot | Array
"""What an equation takes: a variable, or a constant."""


@dataclass(frozen=True, eq=False)
class Equation:
    """One equation of the flattened program; operands are slots or constants.

    Attributes:
        primitive: what computes it.
        params: of the primitive.
        inputs: operands.
        shapes: of the operands.
        dtypes: of the operands.
        outputs: numbers of the slots that are filled.
        result_shapes: of the outputs.
    """

    primitive: jex.Primitive
    params: dict[str, Any]
    inputs: tuple[Operand, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[jnp.dtype, ...]
    outputs: tuple[int, ...]
    result_shapes: tuple[tuple[int, ...], ...]

    def evaluate(self, operands: Sequence[Array], **changed: object) -> list[Array]:
        """The results, with some of the primitive's parameters changed."""
        params = self.primitive.get_bind_params({**self.params, **changed})
        results = self.primitive.bind(*operands, **params)
        return list(results) if self.primitive.multiple_results else [results]


class Flattened:
    """The equations of a closed jaxpr in the order of their evaluation.

    Attributes:
        equations: with no jaxpr left to open.
        arguments: slots of the arguments.
        outputs: slots or constants.
    """

    def __init__(self, closed: jex.ClosedJaxpr):
        self.equations: list[Equation] = []
        self._count = 0
        self.arguments = [self._new() for _ in closed.jaxpr.invars]
        self.outputs = self._open(closed.jaxpr, closed.consts, self.arguments)

    def _new(self) -> Slot:
        self._count += 1
        return Slot(self._count - 1)

    def _open(self, jaxpr: jex.Jaxpr, constants: Sequence[Operand], arguments: Sequence[Operand]) -> list[Operand]:
        environment = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

        def operand(atom: Atom) -> Operand:
            return atom.val if isinstance(atom, jex.Literal) else environment[atom]

        for equation in jaxpr.eqns:
            operands = [operand(atom) for atom in equation.invars]
            inner = equation.params.get(_TRANSPARENT.get(equation.primitive.name, ""))
            if inner is not None:
                closed = inner if isinstance(inner, jex.ClosedJaxpr) else jex.ClosedJaxpr(inner, ())
                outputs = self._open(closed.jaxpr, closed.consts, operands)
            else:
                outputs = [self._new() for _ in equation.outvars]
                self.equations.append(
                    Equation(
                        primitive=equation.primitive,
                        params=equation.params,
                        inputs=tuple(operands),
                        shapes=tuple(aval(atom).shape for atom in equation.invars),
                        dtypes=tuple(aval(atom).dtype for atom in equation.invars),
                        outputs=tuple(slot.number for slot in outputs),
                        result_shapes=tuple(aval(atom).shape for atom in equation.outvars),
                    )
                )
            environment.update(zip(equation.outvars, outputs, strict=True))
        return [operand(atom) for atom in jaxpr.outvars]
