"""Will it fit? Answered before anything is allocated."""

from pathlib import Path

import jax
import psutil

COPIES = 5
"""Dense `[n, n]` arrays alive at once at the peak of a block: curvature, its symmetrised copy, the conditioned matrix,
the factor, and the scratch of the factorisation or of pruning."""

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may have."""


def available_bytes() -> float:
    """Free memory of the default device; of the host, or the container that limits it, where the device shares it."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return min(psutil.virtual_memory().available, _container_bytes())


def _container_bytes() -> float:
    """What the control group leaves, in Linux's version 2 of them; infinite where nothing is limited."""
    try:
        limit, used, stat = ((CONTROL_GROUP / f"memory.{name}").read_text() for name in ("max", "current", "stat"))
    except OSError:
        return float("inf")
    if limit.strip() == "max":
        return float("inf")
    # Files that were read once stay in memory for as long as nobody else wants it, and count as used.
    pages = dict(line.split() for line in stat.splitlines())
    reclaimable = sum(int(pages.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
    return max(0, int(limit) - int(used) + reclaimable)


def check_block_fits(name: str, n: int, itemsize: int, available: float | None = None) -> None:
    """Refuse a dense block whose system would not fit in memory.

    Args:
        name: of the block, for the message.
        n: rows.
        itemsize: bytes of an entry.
        available: bytes; None asks the machine.

    Raises:
        MemoryError: with the size, and what to use instead.
    """
    available = available_bytes() if available is None else available
    needed = COPIES * n * n * itemsize
    if needed > available:
        raise MemoryError(
            f"the dense block `{name}` has {n:,} rows: {readable(n * n * itemsize)} for the matrix and "
            f"{readable(needed)} at the peak of a step, and {readable(available)} are free. Use a finer partition "
            "(qnewton.per_layer, qnewton.per_tensor), a smaller layer, or leave this tensor to a first-order optimizer "
            "(optax.multi_transform)"
        )


def check_step_fits(planned: float, advice: str, available: float | None = None) -> None:
    """Refuse a compiled step that plans for more memory than there is.

    Args:
        planned: bytes of the compiler's plan, parameters and batch apart.
        advice: what to do instead.
        available: bytes; None asks the machine.

    Raises:
        MemoryError: with both, and the advice.
    """
    available = available_bytes() if available is None else available
    if planned > available:
        raise MemoryError(
            f"a step would need {readable(planned)} besides parameters and batch, and {readable(available)} are free: "
            f"{advice}"
        )


def readable(count: float) -> str:
    """A number of bytes with its unit, `12.5 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
