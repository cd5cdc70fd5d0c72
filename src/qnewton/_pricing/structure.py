"""What is known of a matrix's pattern and origin beyond its numbers: what structured classical solvers need."""

import dataclasses
from typing import Any

from .._core.arrays import floating

DIMENSIONS = (2, 3)
_GROWTH = {2: (1.0, 1.5), 3: (4 / 3, 2.0)}
_FILL = {2: 31 / 8, 3: 13.4}
_FLOPS = {2: 829 / 42, 3: 7.5}


@dataclasses.dataclass(frozen=True)
class Structure:
    """Numbers that are None where they are not known.

    Attributes:
        bandwidth: largest distance of an entry from the diagonal, in the best order known.
        fill: numbers in the Cholesky factor, in the best order known.
        factor_flops: operations of that factorisation.
        filled_by: what the two rest on, in words.
        preconditioned_kappa: condition number of the preconditioned matrix.
        preconditioner: that it belongs to, in words; it costs one operation and one number a row.
        root_rows: rows of a root R at hand, of the system `R^T R + m I` of a Newton block.
        gram_flops: operations of its Gram matrix `R R^T`; None: `rows root_rows^2`.
        layer: rows of the two Kronecker factors of a Newton block's approximation.
        dimension: of the mesh that the fill is that of, or is taken to be that of where the rows change.
    """

    bandwidth: Any = None
    fill: Any = None
    factor_flops: Any = None
    filled_by: str = ""
    preconditioned_kappa: Any = None
    preconditioner: str = ""
    root_rows: Any = None
    gram_flops: Any = None
    layer: tuple[Any, Any] | None = None
    dimension: int = 3

    def check(self, n: float, degree: float | None) -> None:
        """Refuse numbers that no matrix of n rows has.

        Raises:
            ValueError: names the inequality that they break.
        """
        band, gain, layer = self.bandwidth, self.preconditioned_kappa, self.layer
        for name, value in (("bandwidth", band), *(("layer", side) for side in layer or ())):
            if value is not None and value % 1 != 0:
                raise ValueError(f"{name} is {value:g}: it counts entries")
        if band is not None and not 0 <= band <= n - 1:
            raise ValueError(f"bandwidth is {band:g}: an entry of {n:g} rows is 0 to n - 1 from the diagonal")
        if band is not None and degree is not None and degree > 2 * band + 1:
            raise ValueError(f"bandwidth is {band:g}: a row of {degree:g} nonzeros does not fit into 2 x bandwidth + 1")
        if gain is not None and not 1 <= gain < float("inf"):
            raise ValueError(f"preconditioned-kappa is {gain:g}: a condition number is finite and at least 1")
        if layer is not None and (min(layer) < 1 or layer[0] * layer[1] != n):
            raise ValueError(f"layer is {layer[0]:g} {layer[1]:g}: their product is the number of rows, {n:g}")

    def of_size(self, rows: Any, kappa: Any) -> "Structure":
        """The structure of a matrix with so many times the rows and the condition number.

        The band and the root stay as wide, a factor fills as that of a mesh, without a logarithm in two dimensions, a
        layer grows on both sides, and the preconditioner gains as much.
        """
        _, rows, kappa = floating(rows, kappa)
        gain = self.preconditioned_kappa
        return dataclasses.replace(
            self,
            fill=None if self.fill is None else self.fill * rows ** _GROWTH[self.dimension][0],
            factor_flops=None if self.factor_flops is None else self.factor_flops * rows ** _GROWTH[self.dimension][1],
            preconditioned_kappa=None if gain is None else 1 + (gain - 1) * kappa,
            gram_flops=None if self.gram_flops is None else self.gram_flops * rows,
            layer=None if self.layer is None else (self.layer[0] * rows**0.5, self.layer[1] * rows**0.5),
        )


UNKNOWN = Structure()


def grid(n: Any, dimension: int) -> Structure:
    """Bounds of nested dissection for a mesh whose entries couple neighbours, `n^(1/d)` of them on each side.

    Two dimensions: `31/4 n log2 sqrt(n)` numbers and `829/84 n^(3/2)` multiplications with additions, but for
    lower-order terms (George 1973; from memory). Three (derived here): a box is cut across its longest side, the cut is
    eliminated with all cuts around the box in its front, and the halves follow. Of cubes of side m a cut of `m^2` has
    no cut around it at first, three sides at a corner in the next eight cubes, and six in all that follow; that adds up
    to `13.4 n^(4/3)` numbers and `7.5 n^2` operations.

    Raises:
        ValueError: for another dimension.
    """
    if dimension not in DIMENSIONS:
        raise ValueError(f"dimension is {dimension}: bounds are known for meshes in 2 and 3 dimensions")
    xp, n = floating(n)
    if dimension == 2:
        fill, flops = _FILL[2] * n * xp.log2(xp.maximum(n, 2.0)), _FLOPS[2] * n**1.5
    else:
        fill, flops = _FILL[3] * n ** (4 / 3), _FLOPS[3] * n**2
    return Structure(
        fill=xp.minimum(fill, n * (n + 1) / 2),
        factor_flops=xp.minimum(flops, n**3 / 3),
        filled_by=f"bounds of nested dissection for a mesh in {dimension} dimensions, not this matrix's pattern",
        dimension=dimension,
    )
