"""Matrices with a prescribed spectrum and slow oracles, for tests of qnewton and of other packages."""

from .._core.operators import DenseRoot as DenseRoot
from .blocks import DenseBlock as DenseBlock
from .matrices import symmetric_with_spectrum as symmetric_with_spectrum
from .oracles import dense_hessian_block as dense_hessian_block

__all__ = [
    "DenseBlock",
    "DenseRoot",
    "dense_hessian_block",
    "symmetric_with_spectrum",
]
