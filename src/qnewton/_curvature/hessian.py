"""The exact Hessian."""

import equinox as eqx

from .base import AbstractCurvature
from .layer_operator import LayerOperator
from .partition import Block
from .point import Point
from .product_operator import ProductOperator


class Hessian(AbstractCurvature):
    """Exact Hessian block of the objective, indefinite in general.

    Where the model is affine in the block (one layer with the others held fixed), the block follows from the layer's
    inputs and the Hessian in its outputs (`_curvature.kronecker`), one small Hessian per example. Otherwise the
    gradient is linearised once and the Hessian-vector product is mapped over the unit vectors (Pearlmutter 1994),
    `chunk` of them at a time, so that the memory for tangents stays bounded.

    Attributes:
        chunk: unit vectors pushed through the network together.
        chunk_bytes: memory for the products of the examples that are handled together, and for what an operator keeps
            of the layers.
        structure: look for layers (`_curvature.structure`); with False every block takes Hessian-vector products.
    """

    chunk: int = eqx.field(static=True, default=64)
    chunk_bytes: int = eqx.field(static=True, default=2**26)
    structure: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        if self.chunk < 1:
            raise ValueError(f"chunk is {self.chunk}: it counts unit vectors and must be at least 1, e.g. 64")

    @property
    def semidefinite(self) -> bool:
        return False

    def operator(self, point: Point, block: Block) -> ProductOperator | LayerOperator:
        layers = point.layers(block) if self.structure else None
        return ProductOperator.of(point, block, layers, self.chunk, self.chunk_bytes)
