"""Positions of the weights and biases of layers in the raveled parameters of a block."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from .arrays import namespace


class Piece(eqx.Module):
    """A run of the raveled block that is one or more rows of a layer's matrix `[inputs, outputs]`.

    Attributes:
        start: first position in the block.
        rows, outputs: shape in the layer's matrix.
        transposed: whether the run lies as `[outputs, rows]`.
        order: where the run's entries go in `[rows, outputs]`, as indices into the run, if it is neither.
        copies: matrices in the run; of several, `axes` says how they lie in it, and not `transposed`.
        axes: the order of copies, rows and outputs (0, 1, 2) in the run.
        places: of entries that are no run, where each lies from `start` on, in the order of the matrix; the bytes of an
            int32 array, which are hashed faster than a tuple. All pieces with the same `start` together are one.
    """

    start: int = eqx.field(static=True)
    rows: int = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    transposed: bool = eqx.field(static=True, default=False)
    order: tuple[int, ...] | None = eqx.field(static=True, default=None)
    copies: int = eqx.field(static=True, default=1)
    axes: tuple[int, int, int] = eqx.field(static=True, default=(0, 1, 2))
    places: bytes | None = eqx.field(static=True, default=None)

    @property
    def size(self) -> int:
        """Number of entries in the run."""
        return self.copies * self.rows * self.outputs

    def run_of(self, vector: Float[Array, " n"]) -> Float[Array, " size"]:
        """Return the entries of the run in a raveled block."""
        if self.places is not None:
            return vector[self.start + np.frombuffer(self.places, np.int32)]
        return vector[self.start : self.start + self.size]

    def read(self, run: Float[Array, " size"]) -> Float[Array, "*c rows outputs"]:
        """Return the run as rows of the layer's matrix; several copies have a leading axis that counts them."""
        if self.copies > 1:
            shape = (self.copies, self.rows, self.outputs)
            if self.order is not None:
                return run[np.asarray(self.order)].reshape(shape)
            return run.reshape([shape[axis] for axis in self.axes]).transpose(np.argsort(self.axes).tolist())
        if self.order is not None:
            return run[np.asarray(self.order)].reshape(self.rows, self.outputs)
        return run.reshape(self.outputs, self.rows).T if self.transposed else run.reshape(self.rows, self.outputs)

    def write(self, rows: Float[Array, "*c rows outputs"]) -> Float[Array, " size"]:
        """Undo `read`."""
        if self.copies > 1 and self.order is None:
            return rows.transpose(self.axes).reshape(-1)
        if self.order is not None:
            return rows.reshape(-1)[np.argsort(np.asarray(self.order))]
        return rows.T.reshape(-1) if self.transposed else rows.reshape(-1)


class Layout(eqx.Module):
    """A block as the matrices of its layers, and a rest that belongs to no layer.

    Every position of the block belongs to one layer or to the rest.

    Attributes:
        n: scalars in the block.
        layers: the pieces of each layer, in the order of the rows of its matrix.
        rest: `(start, size)` of the runs outside of layers, in ascending order.
    """

    n: int = eqx.field(static=True)
    layers: tuple[tuple[Piece, ...], ...] = eqx.field(static=True)
    rest: tuple[tuple[int, int], ...] = eqx.field(static=True, default=())

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Inputs (a bias is one more) and outputs of each layer."""
        return [(sum(piece.rows for piece in pieces), pieces[0].outputs) for pieces in self.layers]

    @property
    def copies(self) -> list[int]:
        """Number of matrices of each layer."""
        return [pieces[0].copies for pieces in self.layers]

    def split(self, vector: Float[Array, " n"]) -> tuple[list[Float[Array, "*c i a"]], Float[Array, " rest"]]:
        """Return the layers' matrices `[inputs, outputs]`, copies stacked, and the entries that belong to no layer."""
        xp = namespace(vector)
        matrices = [
            xp.concatenate([piece.read(piece.run_of(vector)) for piece in pieces], axis=-2) for pieces in self.layers
        ]
        runs = [vector[start : start + size] for start, size in self.rest]
        return matrices, xp.concatenate(runs) if runs else vector[:0]

    def merge(self, matrices: list[Float[Array, "*c i a"]], rest: Float[Array, " rest"]) -> Float[Array, " n"]:
        """Undo `split`."""
        xp = namespace(*matrices, rest)
        runs: dict[int, Array] = {}
        scattered: dict[int, list[tuple[bytes, Array]]] = {}
        for pieces, matrix in zip(self.layers, matrices, strict=True):
            row = 0
            for piece in pieces:
                run = piece.write(matrix[..., row : row + piece.rows, :])
                row += piece.rows
                if piece.places is None:
                    runs[piece.start] = run
                else:
                    scattered.setdefault(piece.start, []).append((piece.places, run))
        for start, parts in scattered.items():
            order = np.argsort(np.concatenate([np.frombuffer(places, np.int32) for places, _ in parts]))
            runs[start] = xp.concatenate([run for _, run in parts])[order]
        position = 0
        for start, size in self.rest:
            runs[start] = rest[position : position + size]
            position += size
        return xp.concatenate([runs[start] for start in sorted(runs)])
