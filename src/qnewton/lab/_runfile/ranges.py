"""Whole numbers that mostly follow each other, in the room of their gaps."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload


class Ranges(Sequence[int]):
    """Whole numbers in the order in which they were added; those that rise by one step share a range."""

    def __init__(self, step: int = 1):
        """Start empty.

        Args:
            step: from one number to the next, mostly.
        """
        self._step, self._ranges, self._count = step, [], 0

    def add(self, number: int) -> None:
        """Add a number behind the others."""
        last = self._ranges[-1] if self._ranges else None
        if last is not None and last.stop == number:
            self._ranges[-1] = range(last.start, number + self._step, self._step)
        else:
            self._ranges.append(range(number, number + self._step, self._step))
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return (number for part in self._ranges for number in part)

    def __contains__(self, number: object) -> bool:
        return any(number in part for part in self._ranges)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[place] for place in range(self._count)[index]]
        place = range(self._count)[index]
        for part in self._ranges:
            if place < len(part):
                return part[place]
            place -= len(part)
        raise IndexError(index)


def apart(one: Ranges, other: Ranges, most: int) -> list[int]:
    """Return the first numbers that are in one of both only, sorted, at most so many of each."""
    return sorted(n for a, b in ((one, other), (other, one)) for n in islice((n for n in a if n not in b), most))[:most]
