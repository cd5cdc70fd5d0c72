"""Whether a block fits is decided before anything is allocated, and the refusal helps."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import psutil
import pytest

from qnewton._core import memory
from qnewton._core.memory import available_bytes, check_block_fits

# 1,000 rows in float32: 4e6 bytes a matrix, which has a factor.
PEAK = 8_000_000


def test_exactly_enough_is_enough() -> None:
    check_block_fits("w", 1000, 4, PEAK)


def test_a_byte_too_few_is_refused_with_the_sizes_and_what_to_use_instead() -> None:
    with pytest.raises(MemoryError) as caught:
        check_block_fits("layers.0.weight", 1000, 4, PEAK - 1)
    message = str(caught.value)
    assert "`layers.0.weight` has 1,000 rows" in message
    assert "3.8 MiB for the matrix and at least 7.6 MiB with its factor" in message
    assert "7.6 MiB are free" in message
    for remedy in ("per_layer", "per_tensor", "smaller layer", "optax.multi_transform"):
        assert remedy in message


def test_float64_needs_twice_as_much() -> None:
    check_block_fits("w", 1000, 8, 2 * PEAK)
    with pytest.raises(MemoryError, match=r"7\.6 MiB for the matrix and at least 15\.3 MiB with its factor"):
        check_block_fits("w", 1000, 8, 2 * PEAK - 1)


@pytest.mark.parametrize(
    ("n", "itemsize", "sizes"),
    [
        (1, 4, "4 bytes for the matrix and at least 8 bytes with its factor"),
        (10, 2, "200 bytes for the matrix and at least 400 bytes with its factor"),
        (100, 4, "39.1 KiB for the matrix and at least 78.1 KiB"),
        (40_000, 4, "6.0 GiB for the matrix and at least 11.9 GiB"),
        (10_000_000, 4, "363.8 TiB for the matrix and at least 727.6 TiB"),
    ],
)
def test_sizes_are_readable_from_bytes_to_tebibytes(n: int, itemsize: int, sizes: str) -> None:
    with pytest.raises(MemoryError, match=f"{n:,} rows: {sizes}.*and 0 bytes are free"):
        check_block_fits("w", n, itemsize, 0)


def test_by_default_the_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: PEAK - 1)
    with pytest.raises(MemoryError, match=r"7\.6 MiB are free"):
        check_block_fits("w", 1000, 4)
    monkeypatch.setattr(memory, "available_bytes", lambda: PEAK)
    check_block_fits("w", 1000, 4)


@pytest.mark.parametrize(
    ("limit", "stat", "free"),
    [
        ("1000", "anon 100\nactive_file 300\ninactive_file 590\n", 900),
        ("1000", "anon 990\n", 10),
        ("900", "", 0),
        ("max", "", float("inf")),
    ],
)
def test_files_that_stay_in_memory_are_not_in_the_way_of_a_container(
    limit: str, stat: str, free: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, content in (("max", f"{limit}\n"), ("current", "990\n"), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(content)
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=float("inf")))
    assert available_bytes() == free


class Device:
    def __init__(self, stats: dict[str, int] | None) -> None:
        self.stats = stats

    def memory_stats(self) -> dict[str, int] | None:
        return self.stats


class Host:
    available = 123


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({"bytes_limit": 1000, "bytes_in_use": 300}, 700),
        ({"bytes_limit": 1000}, 1000),
        ({"bytes_in_use": 300}, 123),
        ({}, 123),
        (None, 123),
    ],
    ids=["accelerator", "nothing-in-use", "no-limit", "empty", "cpu"],
)
def test_available_is_the_device_s_or_else_the_host_s(
    monkeypatch: pytest.MonkeyPatch, stats: dict[str, int] | None, expected: int
) -> None:
    devices: list[Any] = [Device(stats), Device({"bytes_limit": 1})]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    # The first of all devices may be another process's.
    monkeypatch.setattr(jax, "devices", lambda: [Device({"bytes_limit": 2}), *devices])
    monkeypatch.setattr(psutil, "virtual_memory", Host)
    assert available_bytes() == expected


def group(folder: Path, limit: str, used: str, stat: str, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
    for name, content in (*zip(names, (limit, used), strict=True), ("stat", stat)):
        (folder / f"memory.{name}").write_text(f"{content}\n")


@pytest.mark.parametrize(
    ("groups", "where", "free"),
    [
        # A job's own group is limited below what the machine's root is.
        ("0::/slurm/job_7", {"": ("max", "900"), "slurm/job_7": ("500", "100")}, 400),
        # The group around it is fuller.
        ("0::/slurm/job_7", {"slurm": ("1000", "950"), "slurm/job_7": ("500", "100")}, 50),
        # Inside of a container the path is one of the outside, and the root is the container's own group.
        ("0::/docker/abcd", {"": ("700", "100")}, 600),
        ("0::/docker/abcd", {}, float("inf")),
    ],
)
def test_the_tightest_group_around_the_process_counts(
    groups: str, where: dict[str, tuple[str, str]], free: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "self").write_text(f"1:name=systemd:/elsewhere\n{groups}\n")
    for place, (limit, used) in where.items():
        group(tmp_path / place, limit, used, "anon 1", version=2)
    group(tmp_path / "elsewhere", "1", "1", "anon 1", version=2)
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory, "PROCESS_GROUPS", tmp_path / "self")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=float("inf")))
    assert available_bytes() == free


@pytest.mark.parametrize(("path", "free"), [("/kubepods/pod1", 600), ("/not/seen/from/inside", 700)])
def test_the_first_version_of_control_groups_counts_too(
    path: str, free: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "self").write_text(f"12:cpu,cpuacct:/x\n5:memory:{path}\n0::/\n")
    group(tmp_path / "memory", "900", "300", "total_active_file 100", version=1)
    pages = "cache 9\ninactive_file 5\ntotal_inactive_file 40\ntotal_active_file 60"
    group(tmp_path / "memory/kubepods/pod1", "800", "300", pages, version=1)
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    monkeypatch.setattr(memory, "PROCESS_GROUPS", tmp_path / "self")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=float("inf")))
    assert available_bytes() == free


def test_a_limit_on_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    used = psutil.Process().memory_info().vms
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * used, 4 * used))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=float("inf")))
    assert available_bytes() == pytest.approx(used, rel=0.1)


def test_nothing_is_refused_where_nothing_is_allocated() -> None:
    with memory.suspended_checks():
        check_block_fits("w", 1000, 4, PEAK - 1)
    with pytest.raises(MemoryError):
        check_block_fits("w", 1000, 4, PEAK - 1)
