"""Which steps of a run have all of their lines in `blocks.jsonl`, where these are, and for which steps they hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, pairwise
from typing import overload

from .ranges import Ranges, apart
from .step import StepLine
from .system import SystemLine

_NAMED = 5
"""Steps that a note lists."""


@dataclass(frozen=True)
class Spans:
    """The steps that have all of their lines in a file.

    Attributes:
        starts, ends: number of the first line of each, and of that behind the last one.
        firsts, untils: the step, and the next one that these lines do not hold for.
    """

    starts: Sequence[int]
    ends: Sequence[int]
    firsts: Sequence[int]
    untils: Sequence[int]

    def every(self, distance: int) -> "Spans":
        """Return those of steps at equal distances."""
        return Spans(*(part[::distance] for part in (self.starts, self.ends, self.firsts, self.untils)))

    @property
    def packed(self) -> "Spans":
        """The same steps in a file that has their lines alone."""
        ends = list(accumulate(end - start for start, end in zip(self.starts, self.ends, strict=True)))
        return Spans([0, *ends][: len(ends)], ends, self.firsts, self.untils)


class Written:
    """What the lines of a run say of that; it is told of each once, in the order of the files, steps first."""

    def __init__(self, width: int):
        """Start before the first line.

        Args:
            width: blocks of the partition; 0 of a complete optimizer, whose steps say themselves how many lines.
        """
        self._width = width
        self._numbers, self._owned, self._seen = Ranges(), Ranges(), Ranges()
        self._begins = self._starts = self._ends = Ranges()
        self._firsts, self._untils = Ranges(), Ranges()
        self._total = self._count = self._have = 0
        self._step = -1
        self._parts: list[tuple[int, int, int]] = []
        self._expected: Iterator[tuple[tuple[int, int], tuple[int, int]]] | None = None
        self._next: tuple[tuple[int, int], tuple[int, int]] | None = None

    @property
    def lines(self) -> int:
        """Number of lines that the steps state."""
        return self._total

    def step(self, line: StepLine) -> None:
        """Take up the line of the next step."""
        self._numbers.add(line.step)
        if line.systems:
            if not self._owned:
                self._begins, self._starts, self._ends = (Ranges(line.systems) for _ in range(3))
                self._begins.add(0)
            self._owned.add(line.step)
            self._total += line.systems
            self._begins.add(self._total)

    def system(self, line: SystemLine) -> None:
        """Take up the next line of a system."""
        if line.step != self._step:
            self._end()
            self._step, self._have = line.step, 0
            self._seen.add(line.step)
        self._have += 1
        self._count += 1

    def notes(self) -> list[str]:
        """Return what is missing, in words; no further line comes."""
        self._end()
        found = [f"blocks.jsonl: step {step} has {have} of {wanted} blocks." for step, have, wanted in self._parts]
        unfinished = apart(self._owned, self._seen, _NAMED)
        if unfinished:
            listed = ", ".join(map(str, unfinished))
            found.append(
                f"steps.jsonl and blocks.jsonl do not hold the same steps (step {listed} is in one of them only)."
            )
        return found

    @property
    def spans(self) -> Spans:
        """Return what was found; no further line comes."""
        self._end()
        return Spans(self._starts, self._ends, self._firsts, self._untils)

    def _end(self) -> None:
        """No further line of the present step comes."""
        if not self._have:
            return
        wanted, until = self._wanted()
        if self._have == wanted and until is not None:
            self._starts.add(self._count - self._have)
            self._ends.add(self._count)
            self._firsts.add(self._step)
            self._untils.add(until)
        elif self._have != wanted and len(self._parts) < _NAMED:
            self._parts.append((self._step, self._have, wanted))
        self._have = 0

    def _wanted(self) -> tuple[int, int | None]:
        """Return how many lines the present step should have, and until which one they hold; None: it has no line."""
        if self._expected is None:
            last = self._numbers[-1] + 1 if self._numbers else 0
            self._expected = zip(pairwise(chain(self._owned, (last,))), pairwise(self._begins), strict=True)
            self._next = next(self._expected, None)
        while self._next is not None and self._next[0][0] < self._step:
            self._next = next(self._expected, None)
        if self._next is None or self._next[0][0] != self._step:
            return self._width or self._have, None
        (_, until), (begin, end) = self._next
        return end - begin, until


class Decided(Sequence[tuple[SystemLine, ...]]):
    """Lines of each step that has all of them, in the order of the partition or of the groups."""

    def __init__(self, blocks: Sequence[SystemLine], starts: Sequence[int], ends: Sequence[int]):
        """Take what `read_run` has found.

        Args:
            blocks: lines of `blocks.jsonl`.
            starts: number of the first line of each such step.
            ends: number of the line behind its last one.
        """
        self._blocks, self._starts, self._ends = blocks, starts, ends

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[tuple[SystemLine, ...]]:
        lines, at = iter(self._blocks), 0
        for start, end in zip(self._starts, self._ends, strict=True):
            if start < at:
                lines, at = iter(self._blocks[start:]), start
            yield tuple(islice(lines, start - at, end - at))
            at = end

    @overload
    def __getitem__(self, index: int) -> tuple[SystemLine, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> "Decided": ...
    def __getitem__(self, index: int | slice) -> "tuple[SystemLine, ...] | Decided":
        if isinstance(index, slice):
            return Decided(self._blocks, self._starts[index], self._ends[index])
        return tuple(self._blocks[self._starts[index] : self._ends[index]])
