"""JavaScript of graphs: an expression that is used once stands where it is used, one used twice is shared."""

import base64
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from string import ascii_letters

import numpy as np

from .compiler import Compiled
from .graph import Loop, Node, Region
from .primitives import HELPERS, TEMPLATES

_LONGEST = 400
"""Characters of an expression that is written inside another one."""
_RESERVED = {
    "do",
    "if",
    "in",
    "for",
    "let",
    "new",
    "try",
    "var",
    "NaN",
    "abs",
    "cos",
    "exp",
    "log",
    "max",
    "min",
    "sin",
    "tan",
}


@dataclasses.dataclass
class _Live:
    """The values that a region must compute.

    Attributes:
        uses: of a node, by `id`; missing: none.
        captured: nodes of regions around it, in the order of their use.
        items: places of a group that are used.
        loops: what each of its loops needs.
    """

    uses: dict[int, int]
    captured: list[Node]
    items: dict[int, list[int]]
    loops: "dict[int, _Turn]"


@dataclasses.dataclass
class _Turn:
    """A loop without the carried values that nothing needs.

    Attributes:
        loop: all of it.
        carried: places that are kept.
        places: of those, the results.
        live: what the body computes.
        arguments: the first carried values, then what the body captures.
    """

    loop: Loop
    carried: list[int]
    places: list[int]
    live: _Live
    arguments: list[Node]


def _live(region: Region, wanted: Sequence[Node]) -> _Live:
    found = _Live({}, [], {}, {})

    def use(node: Node) -> None:
        found.uses[id(node)] = found.uses.get(id(node), 0) + 1
        if node.region is not region and node.kind not in ("literal", "table") and node not in found.captured:
            found.captured.append(node)

    for node in wanted:
        use(node)
    for node in reversed(region.nodes):
        if id(node) not in found.uses:
            continue
        if node.kind == "item":
            found.items.setdefault(id(node.arguments[0]), []).append(node.detail)
        arguments = node.arguments
        if node.loop is not None:
            turn = found.loops[id(node)] = _turn(node, node.loop, sorted(found.items[id(node)]))
            arguments = turn.arguments
        for argument in arguments:
            use(argument)
    return found


def _turn(node: Node, loop: Loop, places: list[int]) -> _Turn:
    carried = set(places)
    while True:
        wanted = [loop.following[place] for place in sorted(carried)]
        live = _live(loop.body, wanted if loop.going is None else [*wanted, loop.going])
        needed = {place for place, one in enumerate(loop.carried) if id(one) in live.uses}
        if needed <= carried:
            kept = sorted(carried)
            return _Turn(loop, kept, places, live, [*(node.arguments[place] for place in kept), *live.captured])
        carried |= needed


def _names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(ascii_letters, repeat=length):
            name = "".join(letters)
            if name not in _RESERVED:
                yield name


def _literal(value: float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "(-Infinity)"
    text = repr(value).removesuffix(".0")
    return f"({text})" if text.startswith("-") else text


def _together(results: Sequence[str], truths: Sequence[bool]) -> str:
    numbers = [f"+{text}" if truth else text for text, truth in zip(results, truths, strict=True)]
    return numbers[0] if len(numbers) == 1 else f"[{','.join(numbers)}]"


def _bare(text: str) -> str:
    """Return an expression without the parentheses around all of it."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[1:-1] if place == len(text) - 1 and text[0] == "(" else text
    return text


def _table(values: Sequence[float]) -> str:
    """Return constants as text: each by itself, as bytes, or as places among those that differ; the shortest."""
    different = list(dict.fromkeys(values))
    places = np.array([different.index(value) for value in values] if len(different) < 2**8 else [], np.uint8)
    if 2**8 <= len(different) < min(2**16, len(values) / 2):
        of = {value: place for place, value in enumerate(different)}
        places = np.array([of[value] for value in values], "<u2")
    texts = [
        f"[{','.join(_literal(value).strip('()') for value in values)}]",
        f'new Float64Array($bytes("{_base64(np.array(values, "<f8"))}"))',
    ]
    if len(places):
        kind = "Uint8" if places.itemsize == 1 else "Uint16"
        among = f"[{','.join(_literal(value) for value in different)}]"
        texts.append(f'Float64Array.from(new {kind}Array($bytes("{_base64(places)}")),(k=>i=>k[i])({among}))')
    return min(texts, key=len)


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()


class Script:
    """Functions that share tables and loops.

    A loop is a function that remembers its last result: on a map many neighbours ask for the same.
    """

    def __init__(self) -> None:
        self._shared: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The text of everything that the functions use."""
        return HELPERS + "".join(f"const {name}={text};\n" for text, name in self._shared.items())

    def share(self, text: str, prefix: str) -> str:
        """Return the name of a constant with this text."""
        return self._shared.setdefault(text, f"${prefix}{len(self._shared)}")

    def function(self, compiled: Compiled) -> str:
        """Return a formula's function of the functions that it is handed, then of positional numbers.

        It returns an array of numbers, of a single result the number: engines store arrays of nothing else compactly.
        """
        names = _names()
        texts = {id(node): next(names) for node in compiled.parameters}
        heads = [*compiled.calls, *texts.values()]
        live = _live(compiled.region, compiled.results)
        body = self._body(compiled.region, live, texts, names)
        results = [self._text(node, texts) for node in compiled.results]
        return f"({','.join(heads)})=>{{{body}return {_together(results, compiled.truths)}}}"

    def _body(self, region: Region, live: _Live, texts: dict[int, str], names: Iterator[str]) -> str:
        """Return the statements of a region, and put what each node is called into `texts`."""
        statements = []
        for node in region.nodes:
            uses = live.uses.get(id(node), 0)
            if not uses or id(node) in texts or node.kind in ("literal", "table"):
                continue
            text = self._expression(node, live, texts)
            group = node.kind in ("call", "loop")
            several = len(live.items[id(node)]) > 1 if group else uses > 1 and not self._is_entry(node, live)
            if several or len(text) > _LONGEST:
                name = next(names)
                statements.append(f"{name}={_bare(text)}")
                text = name
            texts[id(node)] = text
        return f"const {','.join(statements)};" if statements else ""

    def _text(self, node: Node, texts: dict[int, str]) -> str:
        return _literal(node.detail) if node.kind == "literal" else texts[id(node)]

    def _expression(self, node: Node, live: _Live, texts: dict[int, str]) -> str:
        if id(node) in live.loops:
            turn = live.loops[id(node)]
            given = ",".join(self._text(one, texts) for one in turn.arguments)
            return f"{self._loop(turn, memo=node.region.depth == 0)}({given})"
        if node.kind == "pick":
            place, *entries = node.arguments
            if entries[0].kind == "table":
                array = self.share(_table(entries[0].detail), "t")
            else:
                array = f"[{','.join(self._text(entry, texts) for entry in entries)}]"
            return f"{array}[$at({self._text(place, texts)},{node.detail})]"
        given = [self._text(one, texts) for one in node.arguments]
        if node.kind == "call":
            return f"{node.detail}({','.join(given)})"
        if node.kind == "item":
            group = node.arguments[0]
            if self._is_entry(node, live) or group.kind == "call":
                return f"{given[0]}[{self._place(group, node.detail, live)}]"
            return given[0]
        return TEMPLATES[node.detail].format(*given)

    def _is_entry(self, node: Node, live: _Live) -> bool:
        """Return whether it is an entry of an array that has a name."""
        return node.kind == "item" and len(live.items[id(node.arguments[0])]) > 1

    def _place(self, group: Node, place: int, live: _Live) -> int:
        return live.loops[id(group)].places.index(place) if id(group) in live.loops else place

    def _loop(self, turn: _Turn, *, memo: bool) -> str:
        names = _names()
        heads = [next(names) for _ in turn.arguments]
        moved = heads[: len(turn.carried)]
        texts = {id(turn.loop.carried[place]): name for place, name in zip(turn.carried, moved, strict=True)}
        captured = turn.arguments[len(turn.carried) :]
        texts |= {id(node): name for node, name in zip(captured, heads[len(moved) :], strict=True)}
        body = self._body(turn.loop.body, turn.live, texts, names)
        if turn.loop.going is not None:
            body += f"if(!{self._text(turn.loop.going, texts)})break;"
        new = [self._text(turn.loop.following[place], texts) for place in turn.carried]
        if len(moved) > 1:
            body += f"const {','.join(f'${old}={_bare(text)}' for old, text in zip(moved, new, strict=True))};"
            new = [f"${old}" for old in moved]
        body += "".join(f"{old}={text};" for old, text in zip(moved, new, strict=True))
        head = "for(;;)" if turn.loop.count is None else f"for(let $=0;$<{turn.loop.count};$++)"
        results = [moved[turn.carried.index(place)] for place in turn.places]
        result = _together(results, [turn.loop.truths[place] for place in turn.places])
        if not memo:
            return self.share(f"({','.join(heads)})=>{{{head}{{{body}}}return {result}}}", "l")
        same = "&&".join(f"$k[{place}]===+{name}" for place, name in enumerate(heads))
        kept = "".join(f"$k[{place}]={name};" for place, name in enumerate(heads))
        # The last arguments lie in an array of doubles, which engines need not box.
        return self.share(
            f"(()=>{{const $k=new Float64Array({len(heads)}).fill(NaN);let $r;return({','.join(heads)})=>{{"
            f"if({same})return $r;{kept}{head}{{{body}}}return $r={result}}}}})()",
            "l",
        )
