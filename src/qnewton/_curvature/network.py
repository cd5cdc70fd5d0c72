"""Layers of a whole network, each with one Kronecker product of factors, and the share of it that they cover."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._core.layout import Layout, Piece
from .kronecker import Layer, piece
from .structure import Program, Use


@dataclass(frozen=True)
class Coverage:
    """The parameters that belong to recognised layers.

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
        """Share of the parameters that belongs to layers."""
        return sum(size for _, size in self.constructs) / self.parameters if self.parameters else 0.0

    def __str__(self) -> str:
        def listed(parts: tuple[tuple[str, int], ...]) -> str:
            return "; ".join(f"{name} {size / self.parameters:.1%}" for name, size in parts)

        told = f"layers hold {self.share:.1%} of {self.parameters:,} parameters"
        if self.constructs:
            told += f" ({listed(self.constructs)})"
        return f"{told}. In no layer: {listed(self.missing)}" if self.missing else told


def network_layers(program: Program, sizes: Sequence[int]) -> list[Layer]:
    """Return the layers whose matrices the network's parameters are, no entry in two of them.

    Uses of the same entries are one layer, if they pair them in the same way, or one takes the other's outputs for
    inputs; a parameter that is used in parts has a layer for each. A small one that enters the model linearly in some
    other way, as the gain of a normalisation does, is a layer of its own, with the constant 1 for its input.

    Args:
        program: of the model.
        sizes: scalars in each parameter.
    """
    kinds = [kind for leaf, uses in program.uses.items() for kind in _kinds(uses, sizes[leaf])]
    by_uses = {frozenset(kind): kind for kind in kinds}
    biases: dict[Use, list[tuple[Use, ...]]] = {}
    for kind in kinds:
        weight = by_uses.get(frozenset(use.carrier for use in kind if use.carrier is not None))
        # Of a weight that is turned around in one of its uses no bias is a further row.
        if weight is not None and len(weight) == len(kind) and all(_same(weight[0], use) for use in weight):
            biases.setdefault(weight[0], []).append(kind)
    joined = {use for kinds in biases.values() for kind in kinds for use in kind}
    layers = []
    for kind in kinds:
        if kind[0] in joined:
            continue
        own = [use for bias in biases.get(kind[0], ()) for use in bias]
        carried = [Layer(use, tuple(bias for bias in own if bias.carrier is use)) for use in kind]
        layers.append(replace(carried[0], again=tuple(carried[1:])))
    owned = {use.leaf for layer in layers for use, _ in layer.members}
    return layers + [Layer(use, ()) for leaf, use in program.scales.items() if leaf not in owned]


def network_layout(layers: Sequence[Layer], sizes: Sequence[int]) -> Layout:
    """Return the positions of the layers' matrices in the raveled parameters; entries in no layer make up the rest."""
    starts = [0, *itertools.accumulate(sizes)]
    members = [[use for use, _ in layer.members] for layer in layers]
    scattered = {use.leaf for uses in members for use in uses if not _in_one_run(use)}

    def piece_of(use: Use) -> Piece:
        if use.leaf not in scattered:
            first = int(np.min(use.index))
            return piece(replace(use, index=use.index - first), starts[use.leaf] + first)
        rows, outputs = use.index.shape[-2:]
        places = np.asarray(use.index, np.int32).tobytes()
        return Piece(starts[use.leaf], rows, outputs, copies=use.copies, places=places)

    pieces = tuple(tuple(piece_of(use) for use in uses) for uses in members)
    owned = {use.leaf for uses in members for use in uses}
    rest = tuple((starts[leaf], size) for leaf, size in enumerate(sizes) if leaf not in owned and size)
    return Layout(starts[-1], pieces, rest)


def coverage_of(program: Program, layers: Sequence[Layer], sizes: Sequence[int]) -> Coverage:
    """Return which parameters the layers cover, and why they do not cover the rest.

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
            constructs[name] += use.index.size
    for leaf, size in enumerate(sizes):
        if leaf in owned or not size:
            continue
        used = "used in part, or in several ways" if leaf in program.uses else "without influence on the outputs"
        missing[program.refused.get(leaf, used)] += size
    return Coverage(sum(sizes), tuple(constructs.most_common()), tuple(missing.most_common()))


def _kinds(uses: Sequence[Use], size: int) -> list[tuple[Use, ...]]:
    """Return groups of uses of the same entries; none if entries have other uses elsewhere, or none at all."""
    kinds: list[list[Use]] = []
    for use in uses:
        for kind in kinds:
            if _same(kind[0], use) or (
                use.copies == 1 == kind[0].copies and np.array_equal(kind[0].index, use.index.T)
            ):
                kind.append(use)
                break
        else:
            kinds.append([use])
    entries = np.concatenate([kind[0].index.reshape(-1) for kind in kinds])
    once = entries.size == size == np.unique(entries).size
    return [tuple(kind) for kind in kinds] if once else []


def _same(one: Use, other: Use) -> bool:
    return np.array_equal(one.index, other.index)


def _in_one_run(use: Use) -> bool:
    """Return whether the entries of a use are adjacent; those of a whole parameter are."""
    return int(np.max(use.index)) - int(np.min(use.index)) == use.index.size - 1
