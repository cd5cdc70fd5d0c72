"""Local search that takes work off the worker that finishes last."""

import numpy as np

# What numpy takes for a turn whatever it looks at, in changes looked at.
_TURN = 20_000


def improve(
    seconds: np.ndarray, ready_s: np.ndarray, assignment: np.ndarray, work: float, floor: float = 0.0
) -> tuple[np.ndarray, float]:
    """Move a job, exchange two, or pass one on to a third worker, as long as the last finish becomes earlier.

    Each turn looks at every such change that takes time off the worker that finishes last, and makes the one after
    which the workers that it touches finish soonest.

    Args:
        seconds: `[jobs, workers]`, infinite where a pair is excluded.
        ready_s: `[workers]`.
        assignment: `[jobs]`, to start from; not changed.
        work: how many changes may be looked at. Not a time, so that a schedule never depends on the clock.
        floor: a makespan at which to stop.

    Returns:
        A new assignment `[jobs]`, no worse, and the work that is left.
    """
    assignment = assignment.copy()
    jobs, width = seconds.shape
    rows = np.arange(jobs)
    # Of an unused worker, when it could begin: what a job put there adds to.
    ends = ready_s + np.bincount(assignment, weights=seconds[rows, assignment], minlength=width)
    number = np.bincount(assignment, minlength=width)

    def put(j: int, target: int) -> None:
        source = assignment[j]
        number[source] -= 1
        number[target] += 1
        assignment[j] = target
        for worker in (source, target):
            mine = assignment == worker
            # Summed anew, so that no rounding piles up.
            ends[worker] = ready_s[worker] + seconds[mine, worker].sum()

    while work > 0:
        last = int(np.argmax(np.where(number > 0, ends, -np.inf)))
        now = ends[last]
        if now <= floor:
            break
        # Changes must be worth more than rounding.
        target = now * (1 - 1e-9)
        mine = np.flatnonzero(assignment == last)
        work -= _TURN + len(mine) * width
        left = now - seconds[mine, last]
        moved = np.maximum(left[:, None], ends + seconds[mine])
        moved[:, last] = np.inf
        flat = int(moved.argmin())
        if moved.flat[flat] < target:
            put(int(mine[flat // width]), flat % width)
            continue
        work -= len(mine) * jobs
        others = np.flatnonzero(assignment != last)
        at = assignment[others]
        own = seconds[others, at]
        # What the second worker is left with, once it has the job and has given one of its own away.
        arrived = seconds[np.ix_(mine, at)] + (ends[at] - own)
        swapped = np.maximum(left[:, None] + seconds[others, last], arrived)
        onward = ends + seconds[others]
        onward[np.arange(len(others)), at] = np.inf
        onward[:, last] = np.inf
        third = onward.argmin(axis=1) if len(others) else np.zeros(0, int)
        chained = np.maximum(np.maximum(left[:, None], arrived), onward[np.arange(len(others)), third])
        best = [int(found.argmin()) if found.size else -1 for found in (swapped, chained)]
        value = [found.flat[b] if b >= 0 else np.inf for found, b in zip((swapped, chained), best, strict=True)]
        kind = int(value[1] < value[0])
        if not value[kind] < target:
            break
        j, k = mine[best[kind] // len(others)], best[kind] % len(others)
        put(int(others[k]), last if kind == 0 else int(third[k]))
        put(int(j), int(at[k]))
    return assignment, work
