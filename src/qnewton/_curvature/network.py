"""The layers of a whole network, each with one Kronecker product of factors, and what share of it they cover."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .kronecker import Layer, find_layers
from .partition import Block
from .structure import Program, Use


@dataclass(frozen=True)
class Coverage:
    """Which parameters belong to recognised layers.

    Attributes:
        parameters: scalars in all.
        constructs: kinds of layers, with the number of scalars in each; most first.
        missing: reasons why parameters belong to no layer, with the number of scalars each is the reason for; most
            first. Of these K-FAC has a diagonal.
    """

    parameters: int
    constructs: tuple[tuple[str, int], ...]
    missing: tuple[tuple[str, int], ...]

    @property
    def share(self) -> float:
        """Of the parameters, the part that belongs to layers."""
        return sum(size for _, size in self.constructs) / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        def listed(parts: tuple[tuple[str, int], ...]) -> str:
            return "; ".join(f"{name} {size / self.parameters:.1%}" for name, size in parts)

        told = f"layers hold {self.share:.1%} of {self.parameters:,} parameters"
        if self.constructs:
            told += f" ({listed(self.constructs)})"
        return f"{told}. In no layer: {listed(self.missing)}" if self.missing else told


def network_layers(program: Program, sizes: Sequence[int]) -> list[Layer]:
    """The layers that a network's parameters are the matrices of, no parameter in two of them.

    A parameter that is used more than once is one layer, if every use is of all of it and they pair its entries in the
    same way, or one takes the other's outputs for inputs. A small one that enters the model linearly in some other way,
    as the gain of a normalisation does, is a layer of its own, with the constant 1 for its input.

    Args:
        program: of the model.
        sizes: scalars in each parameter.
    """
    whole = {leaf: uses for leaf, uses in program.uses.items() if all(use.index.size == sizes[leaf] for use in uses)}
    once = tuple(leaf for leaf, uses in whole.items() if len(uses) == 1)
    layers = find_layers(program, Block("layers", once, sum(sizes[leaf] for leaf in once))) or []
    layers += _shared({leaf: uses for leaf, uses in whole.items() if len(uses) > 1 and _pair_alike(uses)})
    owned = {use.leaf for layer in layers for use, _ in layer.members}
    return layers + [Layer(use, ()) for leaf, use in program.scales.items() if leaf not in owned]


def coverage_of(program: Program, layers: Sequence[Layer], sizes: Sequence[int]) -> Coverage:
    """What the layers cover, and why not the rest.

    Args:
        program: that the layers were found in.
        layers: of the network.
        sizes: scalars in each parameter.
    """
    constructs, missing, owned = Counter(), Counter(), set()
    for layer in layers:
        name = layer.lead.construct if not layer.again else f"{layer.lead.construct}, used {len(layer.whole)} times"
        for use, _ in layer.members:
            owned.add(use.leaf)
            constructs[name] += sizes[use.leaf]
    for leaf, size in enumerate(sizes):
        if leaf in owned or not size:
            continue
        used = "used in part, or in several ways" if leaf in program.uses else "without influence on the outputs"
        missing[program.refused.get(leaf, used)] += size
    return Coverage(sum(sizes), tuple(constructs.most_common()), tuple(missing.most_common()))


def _pair_alike(uses: Sequence[Use]) -> bool:
    first = uses[0].index
    return all(
        np.array_equal(use.index, first) or (first.ndim == 2 and np.array_equal(use.index.T, first)) for use in uses
    )


def _shared(found: dict[int, tuple[Use, ...]]) -> list[Layer]:
    """Layers of parameters that are used more than once; a bias joins its weight if it goes with every use of it."""
    biases: dict[int, list[int]] = {}
    for leaf, uses in found.items():
        carriers = [use.carrier for use in uses]
        weight = carriers[0].leaf if carriers[0] is not None else leaf
        alike = weight in found and all(np.array_equal(a.index, b.index) for a, b in itertools.pairwise(found[weight]))
        if weight != leaf and alike and set(carriers) == set(found[weight]) and len(carriers) == len(found[weight]):
            biases.setdefault(weight, []).append(leaf)
    joined = {leaf for leaves in biases.values() for leaf in leaves}
    layers = []
    for leaf, uses in found.items():
        if leaf in joined:
            continue
        carried = [
            Layer(use, tuple(one for bias in biases.get(leaf, ()) for one in found[bias] if one.carrier is use))
            for use in uses
        ]
        layers.append(replace(carried[0], again=tuple(carried[1:])))
    return layers
