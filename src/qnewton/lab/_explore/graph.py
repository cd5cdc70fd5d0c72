"""Scalar arithmetic as a graph in which equal expressions are one node."""

import dataclasses
from collections.abc import Sequence
from typing import Any


class Region:
    """A function's body, or a loop's inside another region.

    Attributes:
        parent: the region around it; None for a function.
        depth: number of regions around it.
        nodes: in an order in which each follows its arguments.
    """

    def __init__(self, parent: "Region | None" = None):
        self.parent = parent
        self.depth = 0 if parent is None else parent.depth + 1
        self.nodes: list[Node] = []
        self._known: dict[Any, Node] = {}

    def node(self, kind: str, detail: Any = None, arguments: "Sequence[Node]" = ()) -> "Node":
        """Return the node of an expression, in the outermost region that has all arguments: loops keep what varies."""
        home = max((argument.region for argument in arguments), key=lambda region: region.depth, default=self.root)
        # By its text: 1, 1.0 and True are equal in Python.
        key = (kind, repr(detail), *(id(argument) for argument in arguments))
        if key not in home._known:
            home._known[key] = home.add(Node(kind, detail, tuple(arguments), home))
        return home._known[key]

    def add(self, node: "Node") -> "Node":
        """Append a node that equals no other, such as a parameter or a loop."""
        self.nodes.append(node)
        return node

    @property
    def root(self) -> "Region":
        """The function's region."""
        return self if self.parent is None else self.parent.root


@dataclasses.dataclass(eq=False)
class Node:
    """One value, or a group of values that come at once.

    Attributes:
        kind: `literal`, `table` (constants), `parameter`, `operation`, `pick` (an entry by its index), `call` and
            `loop` (groups), `item` (one of a group).
        detail: of that kind: the number, the operation's name, the place in the group.
        arguments: what it is computed from.
        region: where it is computed.
        loop: of a loop.
    """

    kind: str
    detail: Any
    arguments: "tuple[Node, ...]"
    region: Region
    loop: "Loop | None" = None


@dataclasses.dataclass
class Loop:
    """A loop over carried values.

    Attributes:
        body: the region.
        carried: parameters of the body.
        following: their values after one turn.
        truths: which of them are truth values.
        count: of the turns; None: as long as `going` is true.
        going: a truth value of the body.
    """

    body: Region
    carried: list[Node]
    following: list[Node]
    truths: list[bool]
    count: int | None = None
    going: Node | None = None
