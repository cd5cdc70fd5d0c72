"""Names and words beside a panel: short, apart from each other, and still unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .units import shorten


def block_labels(names: Mapping[int, str], length: int = 18) -> dict[int, str]:
    """Return index and name of every block.

    Long names lose their common parts; the index keeps them unique.
    """
    parts = {index: name.split(".") for index, name in names.items()}
    head = _common(list(parts.values())) if len(parts) > 1 else 0
    tail = _common([part[::-1] for part in parts.values()]) if len(parts) > 1 else 0
    shown = dict(names)
    for drop in range(1, head + tail + 1):
        if max(map(len, shown.values())) <= length:
            break
        left, right = min(drop, head), max(0, drop - head)
        for index, part in parts.items():
            kept = part[left : max(left + 1, len(part) - right)]
            shown[index] = ("…" if left else "") + ".".join(kept) + ("…" if right else "")
    return {index: f"{index} {shorten(name, length)}" for index, name in shown.items()}


def _common(names: list[list[str]]) -> int:
    """Return how many leading parts all names share, of which at least one must stay."""
    least = min(map(len, names)) - 1
    return next((at for at in range(least) if len({name[at] for name in names}) > 1), max(0, least))


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights as little as needed to be `gap` apart, inside [0, 1] if there is room."""
    groups: list[list[float]] = []  # [sum of wanted starts, members]
    for index, height in enumerate(heights):
        groups.append([height - gap * index, 1.0])
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] > groups[-1][0] / groups[-1][1]:
            last = groups.pop()
            groups[-1] = [groups[-1][0] + last[0], groups[-1][1] + last[1]]
    starts = [total / members for total, members in groups for _ in range(int(members))]
    room = 1.0 - gap * (len(heights) - 1)
    return [max(0.0, min(start, max(0.0, room))) + gap * index for index, start in enumerate(starts)]
