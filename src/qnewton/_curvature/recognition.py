"""Search that follows parameters through a flattened program to the products and sums that consume them."""

from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from .._core.jaxprs import PLACEMENTS
from .flatten import Equation, Flattened, Slot
from .inside import BY_RULE, CARRIED, Recognised, uses_by_rule, uses_in_loop
from .joined import join, split
from .uses import Use, View, bias, itself, linear_use

# Primitives that only move the entries of an array; their effect on a parameter is read off an array of positions.
_MOVES = {"transpose", "reshape", "squeeze", "broadcast_in_dim", "expand_dims", "copy", "rev", *PLACEMENTS}
# These leave entries out besides. Of a parameter that is a use of the rest; the output of a product ends here.
_SLICES = {"slice", "split"}
# What these make of an array is linear in it.
_LINEAR = {"add", "concatenate", "conv_general_dilated", "convert_element_type", "dot_general", "gather", "mul", "neg"}
_LINEAR |= {"div", "dynamic_slice", "pad", "reduce_sum", "select_n", "sub"}
# Likewise in several at once.
_SUMS = {"add", "concatenate", "select_n", "sub"}
_OUTPUT = "is an output as it is"
_MILD = {f"enters `{name}`" for name in _LINEAR} | {CARRIED, _OUTPUT}
"""Reasons to refuse a parameter as a matrix for which it may still be a scale."""
SMALL = 512
"""Entries up to which all of a scale is one use, with a factor of so many rows."""
# No derivative passes these.
_FLAT = {"stop_gradient", "floor", "ceil", "round", "sign"}


def recognise(program: Flattened, views: dict[int, View], depends: dict[int, frozenset[int]]) -> Recognised:
    """The uses of the parameters of a program.

    Args:
        program: flattened.
        views: by slot, the arguments that are parameters.
        depends: by slot, parameters that an argument depends on.
    """
    search = _Search(program, views, depends)
    for number, equation in enumerate(program.equations):
        search.visit(number, equation)
    for output in program.outputs:
        if isinstance(output, Slot) and output.number in search.views:
            search.refuse(search.views[output.number], _OUTPUT)
    mild = {leaf for leaf, why in search.refused.items() if why in _MILD}
    whole = {
        view.leaf: itself(view.leaf, view.entries.shape)
        for view in views.values()
        if view.leaf in mild and view.entries.size <= SMALL
    }
    sliced = {
        leaf: use
        for leaf, use in search.scales.items()
        if leaf in mild and search.consumed[leaf] == 1 and use.index.size == use.size
    }
    return Recognised(search.uses, search.refused, whole | sliced)


class _Search:
    """A search that visits equations in order, with the uses found so far."""

    def __init__(self, program: Flattened, views: dict[int, View], depends: dict[int, frozenset[int]]):
        self.views, self.uses = dict(views), list[Use]()
        self.refused, self.scales = dict[int, str](), dict[int, Use]()
        self.consumed = Counter[int]()
        self._depends = dict(depends)
        self._consumers, self._felt = _consumers(program), _felt(program)
        # Outputs of products are followed like parameters, to the bias that is added to them.
        self._products: dict[int, tuple[Use, np.ndarray]] = {}

    def refuse(self, view: View | int, why: str) -> None:
        """Record a refusal; a reason that leaves a parameter a possible scale does not hide a final one."""
        for leaf in {view} if isinstance(view, int) else view.leaves:
            if leaf not in self.refused or self.refused[leaf] in _MILD:
                self.refused[leaf] = why

    def visit(self, number: int, equation: Equation) -> None:
        """Record the uses of parameters among an equation's operands."""
        slots = [operand.number if isinstance(operand, Slot) else -1 for operand in equation.inputs]
        below = [self._depends.get(slot, frozenset()) for slot in slots]
        self._depends.update((o, frozenset().union(*below)) for o in equation.outputs)
        sides = [side for side, slot in enumerate(slots) if slot in self.views]
        if not sides:
            if _only_moves(equation) and slots[0] in self._products and self._consumers[slots[0]] == 1:
                use, numbers = self._products[slots[0]]
                self._products[equation.outputs[0]] = use, _moved(equation, numbers)[0]
            return
        if not self._felt.intersection(equation.outputs):
            return
        view = self.views[slots[sides[0]]]
        if _only_moves(equation) or equation.primitive.name in _SLICES:
            moved = zip(equation.outputs, _moved(equation, view.entries), strict=True)
            self.views.update((o, replace(view, entries=entries)) for o, entries in moved)
            return
        views = [self.views[slots[side]] for side in sides]
        if equation.primitive.name == "concatenate" and len(sides) == len(slots):
            self.views[equation.outputs[0]] = join(views, equation.params["dimension"])
            return
        self.consumed.update(set().union(*(one.leaves for one in views)))
        if equation.primitive.name == "scan" or equation.primitive.name in BY_RULE:
            open_up = uses_in_loop if equation.primitive.name == "scan" else uses_by_rule
            for joined in (one for one in views if one.parts):
                self.refuse(joined, f"is joined with others for `{equation.primitive.name}`")
            alone = [one if one is None or not one.parts else None for one in (self.views.get(slot) for slot in slots)]
            found = open_up(number, equation, alone, below, recognise)
            self.uses += found.uses
            self.scales.update(found.scales)
            for leaf, why in found.refused.items():
                self.refuse(leaf, why)
            return
        own = self._own_uses(number, equation, slots, below, sides)
        if None in own:
            for one in views:
                self.refuse(one, _entered(equation, sides))
        self.uses += [use for found in own if found is not None for use in found]

    def _own_uses(
        self, number: int, equation: Equation, slots: list[int], below: list[frozenset[int]], sides: list[int]
    ) -> list[list[Use] | None]:
        """Return, for each operand that is a parameter, its uses by the equation itself: one of each if joined."""
        views = [self.views[slots[side]] for side in sides]
        if equation.primitive.name == "add":
            other = slots[1 - sides[0]]
            carried = self._consumers[other] == 1 and not views[0].parts
            carrier = self._products.get(other) if carried else None
            added = bias(number, equation, sides[0], views[0], carrier) if len(sides) == 1 else None
            return [None if added is None else split(added, views[0])]
        # Of a product of two parameters each is used, with the other for its x.
        own = [
            linear_use(number, equation, side, view, frozenset().union(*below[:side], *below[side + 1 :]))
            for side, view in zip(sides, views, strict=True)
        ]
        if len(own) == 1 and own[0] is not None and not views[0].parts:
            self._products[equation.outputs[0]] = own[0], own[0].output_order()
        return [None if use is None else split(use, view) for use, view in zip(own, views, strict=True)]


def _entered(equation: Equation, sides: list[int]) -> str:
    """Return why an equation's operation on a parameter is not one of the recognised uses."""
    name = equation.primitive.name
    if len(sides) > 1 and name not in _SUMS:
        return f"meets another parameter in `{name}`"
    return "is a divisor" if name == "div" and sides != [0] else f"enters `{name}`"


def _consumers(program: Flattened) -> Counter[int]:
    read = [operand for equation in program.equations for operand in equation.inputs]
    return Counter(operand.number for operand in [*read, *program.outputs] if isinstance(operand, Slot))


def _felt(program: Flattened) -> set[int]:
    """Return the slots whose small changes reach the outputs."""
    felt = {output.number for output in program.outputs if isinstance(output, Slot)}
    for equation in reversed(program.equations):
        if equation.primitive.name in _FLAT or not felt.intersection(equation.outputs):
            continue
        for operand, dtype in zip(equation.inputs, equation.dtypes, strict=True):
            if isinstance(operand, Slot) and jnp.issubdtype(dtype, jnp.inexact):
                felt.add(operand.number)
    return felt


def _only_moves(equation: Equation) -> bool:
    if equation.primitive.name == "convert_element_type":
        # A wider dtype holds the same numbers; a narrower one rounds them.
        new = equation.params["new_dtype"]
        return jnp.promote_types(equation.dtypes[0], new) == new
    return equation.primitive.name in _MOVES and len(equation.inputs) == 1


def _moved(equation: Equation, entries: np.ndarray) -> list[np.ndarray]:
    """Apply an equation of `_MOVES` or `_SLICES` to an array, by numpy, which compiles nothing."""
    params = equation.params
    match equation.primitive.name:
        case "convert_element_type" | "copy":
            return [entries]
        case name if name in PLACEMENTS:
            return [entries]
        case "transpose":
            return [entries.transpose(params["permutation"])]
        case "squeeze" | "expand_dims":
            return [entries.reshape(equation.result_shapes[0])]
        case "reshape" if params["dimensions"] is None:
            return [entries.reshape(params["new_sizes"])]
        case "broadcast_in_dim":
            placed = dict(zip(params["broadcast_dimensions"], entries.shape, strict=True))
            shape = [placed.get(axis, 1) for axis in range(len(params["shape"]))]
            return [np.broadcast_to(entries.reshape(shape), params["shape"])]
        case "slice":
            ends = zip(
                params["start_indices"], params["limit_indices"], params["strides"] or [1] * entries.ndim, strict=True
            )
            return [entries[tuple(slice(*end) for end in ends)]]
        case "split":
            return np.split(entries, np.cumsum(params["sizes"])[:-1], axis=params["axis"])
    with jax.ensure_compile_time_eval():
        return [np.asarray(part) for part in equation.evaluate([jnp.asarray(entries)])]
