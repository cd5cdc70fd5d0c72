"""Cost of a sparse factorisation, from the pattern alone: numbers of the factor, and operations.

Order: nested dissection by METIS. Counts: the elimination tree (Liu 1990) and the counts of the factor's columns
(Gilbert, Ng and Peyton, SIAM J. Matrix Anal. Appl. 15 (1994) 1075), in time nearly proportional to the entries.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from .files import shape_of

MOST_ENTRIES = 10_000_000
"""Off the diagonal, up to which the pattern is analysed: half a minute."""
_NONE = -1


class Fill(NamedTuple):
    """The factor of a pattern.

    Attributes:
        entries: the sum of its columns' counts, or the band's.
        flops: the sum of their squares.
        bandwidth: largest distance of an entry from the diagonal, in the given order or in that of Cuthill and McKee.
        order: of elimination.
        blocks: that do not depend on each other.
        largest_block: rows of the largest of them.
    """

    entries: float
    flops: float
    bandwidth: int
    order: np.ndarray
    blocks: int
    largest_block: int


def fill_of(matrix: scipy.sparse.csr_array) -> Fill:
    """The factor's size for a Hermitian matrix, in an order that keeps it small.

    Args:
        matrix: both of its triangles.
    """
    # Only now: most plans are for no file.
    import pymetis

    pattern = scipy.sparse.coo_array(matrix)
    row, column = pattern.coords
    off = row != column
    ones = np.ones(int(off.sum()), np.int8)
    graph = scipy.sparse.csr_array((ones, (row[off], column[off])), shape=shape_of(matrix))
    starts, others = np.asarray(graph.indptr, np.int32).ravel(), np.asarray(graph.indices, np.int32).ravel()
    band = min(_bandwidth(graph), _bandwidth(graph, scipy.sparse.csgraph.reverse_cuthill_mckee(graph, True)))
    order = np.asarray(pymetis.nested_dissection(pymetis.CSRAdjacency(starts, others))[0])
    counts = column_counts(graph[order][:, order])
    blocks, block = scipy.sparse.csgraph.connected_components(graph, directed=False)
    # A narrow band fills no more than itself, which dissection does not always find.
    banded = float(len(counts)) * (band + 1)
    return Fill(
        entries=min(float(counts.sum()), banded),
        flops=min(float((counts**2).sum()), banded * (band + 1)),
        bandwidth=band,
        order=order,
        blocks=int(blocks),
        largest_block=int(np.bincount(block).max()),
    )


def _bandwidth(graph: scipy.sparse.csr_array, order: np.ndarray | None = None) -> int:
    row, column = scipy.sparse.coo_array(graph).coords
    if order is not None:
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        row, column = place[row], place[column]
    return int(np.abs(row.astype(np.int64) - column).max(initial=0))


def column_counts(graph: scipy.sparse.csr_array) -> np.ndarray:
    """Numbers in each column of the Cholesky factor, the diagonal among them.

    Args:
        graph: a symmetric pattern, in its order of elimination.
    """
    below = scipy.sparse.csr_array(scipy.sparse.tril(graph, -1))
    parent = _elimination_tree(below)
    post = _postorder(parent)
    return np.asarray(_counts(scipy.sparse.csc_array(below), parent, post), float)


def _elimination_tree(below: scipy.sparse.csr_array) -> list[int]:
    """The parent of each column: the row of the first number below its diagonal. Paths are compressed."""
    n = shape_of(below)[0]
    start, columns = _lists(below)
    parent, ancestor = [_NONE] * n, [_NONE] * n
    for row in range(n):
        for place in range(start[row], start[row + 1]):
            at = columns[place]
            while at not in (_NONE, row):
                above, ancestor[at] = ancestor[at], row
                if above == _NONE:
                    parent[at] = row
                at = above
    return parent


def _lists(matrix: scipy.sparse.csr_array | scipy.sparse.csc_array) -> tuple[list[int], list[int]]:
    """Return the start of each row or column and the other index of each entry, as lists, which Python reads faster."""
    return np.asarray(matrix.indptr).tolist(), np.asarray(matrix.indices).tolist()


def _postorder(parent: list[int]) -> list[int]:
    """Children before their parents, each subtree without a gap."""
    n = len(parent)
    child, sibling = [_NONE] * n, [_NONE] * n
    for at in range(n - 1, -1, -1):
        if parent[at] != _NONE:
            sibling[at], child[parent[at]] = child[parent[at]], at
    found: list[int] = []
    for root in range(n):
        stack = [root] if parent[root] == _NONE else []
        while stack:
            at = stack[-1]
            if child[at] == _NONE:
                found.append(stack.pop())
            else:
                stack.append(child[at])
                child[at] = sibling[child[at]]
    return found


def _counts(below: scipy.sparse.csc_array, parent: list[int], post: list[int]) -> list[int]:
    """A column's count is that of the row subtrees which it lies in: leaves add, where two of them meet subtracts."""
    n = len(parent)
    start, rows = _lists(below)
    first, count = [_NONE] * n, [0] * n
    for place, leaf in enumerate(post):
        at = leaf
        count[at] = 1 if first[at] == _NONE else 0
        while at != _NONE and first[at] == _NONE:
            first[at], at = place, parent[at]
    latest_first, latest_leaf, ancestor = [_NONE] * n, [_NONE] * n, list(range(n))
    for at in post:
        above = parent[at]
        if above != _NONE:
            count[above] -= 1
        for place in range(start[at], start[at + 1]):
            row = rows[place]
            if first[at] <= latest_first[row]:
                continue
            latest_first[row] = first[at]
            count[at] += 1
            leaf, latest_leaf[row] = latest_leaf[row], at
            if leaf != _NONE:
                meeting = leaf
                while meeting != ancestor[meeting]:
                    meeting = ancestor[meeting]
                while leaf != meeting:
                    ancestor[leaf], leaf = meeting, ancestor[leaf]
                count[meeting] -= 1
        if above != _NONE:
            ancestor[at] = above
    for at, above in enumerate(parent):
        if above != _NONE:
            count[above] += count[at]
    return count
