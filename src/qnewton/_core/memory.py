"""Memory checks: whether an allocation fits, before anything is allocated."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import jax

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

COPIES = 2
"""Dense `[n, n]` arrays without which no formed block is solved: the matrix and its factor. The least of any step, so
that nothing is refused that would fit; compiled steps plan for 2.3 to 8 of them (`memory_estimate` tells how many)."""

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may have."""

PROCESS_GROUPS = Path("/proc/self/cgroup")
"""Where it says which groups a process is in."""


_suspended: ContextVar[bool] = ContextVar("suspended", default=False)


@contextlib.contextmanager
def suspended_checks() -> Iterator[None]:
    """Suspend all memory checks inside: what is traced for its shapes alone is never allocated."""
    token = _suspended.set(True)
    try:
        yield
    finally:
        _suspended.reset(token)


def checks_suspended() -> bool:
    """Return whether the call is inside of `suspended_checks`."""
    return _suspended.get()


def available_bytes() -> float:
    """Return the free memory of this process's first device.

    If that is the host's, the limits of host, container and process count as well.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    import psutil

    return min(psutil.virtual_memory().available, _container_bytes(), _process_bytes())


def _process_bytes() -> float:
    """Return what the process's address-space limit leaves (`ulimit -v`); infinite without a limit."""
    if resource is None:
        return float("inf")
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    import psutil

    return max(0, limit - psutil.Process().memory_info().vms)


def _container_bytes() -> float:
    """Return the least that any control group around this process leaves; infinite without a limit."""
    return min(map(_left_in_group, _control_groups()), default=float("inf"))


def _control_groups() -> Iterator[Path]:
    """Yield the directories of the process's control groups, of both versions, up to the outermost visible one.

    Inside a container the root is often the container's own group, and the path that Linux tells is one outside: what
    does not exist below the root is passed over.
    """
    try:
        lines = PROCESS_GROUPS.read_text().splitlines()
    except OSError:
        lines = []
    for line in ["0::/", ":memory:/", *lines]:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = CONTROL_GROUP / "memory" if controllers else CONTROL_GROUP
        group = root / path.lstrip("/")
        yield group
        yield from (parent for parent in group.parents if parent.is_relative_to(root))


def _left_in_group(group: Path) -> float:
    """Return what one control group leaves, of version 2 or of version 1."""
    for limit_name, used_name in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            limit, used, stat = ((group / name).read_text() for name in (limit_name, used_name, "memory.stat"))
        except OSError:
            continue
        if limit.strip() == "max":
            return float("inf")
        # Files that were read once stay in memory for as long as nobody else wants it, and count as used. Version 1
        # tells what groups inside of this one use under names of their own.
        pages = dict(line.split() for line in stat.splitlines())
        kinds = ("active_file", "inactive_file")
        reclaimable = sum(int(pages.get(f"total_{kind}", pages.get(kind, 0))) for kind in kinds)
        return max(0, int(limit) - int(used) + reclaimable)
    return float("inf")


def check_block_fits(name: str, n: int, itemsize: int, available: float | None = None) -> None:
    """Refuse a dense block that cannot fit in memory, whatever the options of the step.

    What passes may still need more than there is: only the compiler's plan of a whole step tells.

    Args:
        name: of the block, for the message.
        n: rows.
        itemsize: bytes of an entry.
        available: bytes; None asks the machine.

    Raises:
        MemoryError: with the size, and what to use instead.
    """
    if checks_suspended():
        return
    available = available_bytes() if available is None else available
    needed = COPIES * n * n * itemsize
    if needed > available:
        raise MemoryError(
            f"the dense block `{name}` has {n:,} rows: {readable(n * n * itemsize)} for the matrix and at least "
            f"{readable(needed)} with its factor, and {readable(available)} are free. Use a finer partition "
            "(qnewton.per_layer, qnewton.per_tensor), a smaller layer, or leave this tensor to a first-order optimizer "
            "(optax.multi_transform)"
        )


def check_step_fits(planned: float, advice: str, available: float | None = None) -> None:
    """Refuse a compiled step that plans for more memory than is available.

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
