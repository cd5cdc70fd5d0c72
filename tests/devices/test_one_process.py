"""Sharded arrays in one process, and mapped axes: trainings and single points; one program for each device count."""

from collections.abc import Callable
from typing import Any

import pytest

Printed = Callable[..., dict[str, Any]]

OPTIMIZERS = (
    "newton",
    "blocks",
    "hybrid",
    "cholesky",
    "tensors",
    "cg",
    "rule",
    "kfac",
    "clip",
    "dual",
    "fisher",
    "kept",
    "recipe",
)
LAYOUTS = (("auto", "rows"), ("explicit", "columns"), ("mapped", "copies"))
EVERY = [f"{name}/{axes}/{layout}" for name in OPTIMIZERS for axes, layout in LAYOUTS]
BY_DAY = ("kfac/explicit/columns", "fisher/auto/columns")

SOME = ("cg/explicit/rows", "dual/auto/copies", "hybrid/explicit/copies")


@pytest.mark.parametrize(
    ("devices", "cases"),
    [
        (1, ("fisher/explicit/copies", "kfac/mapped/copies")),
        (4, BY_DAY),
        (4, SOME),
        (2, tuple(EVERY)),
        (8, tuple(EVERY)),
    ],
    ids=["1", "4", "4 more", "2 all", "8 all"],
)
def test_trainings_are_those_of_one_device(printed: Printed, devices: int, cases: tuple[str, ...]) -> None:
    for case, found in printed("one_process.py", str(devices), *cases).items():
        assert found["losses"] < 1e-5, case
        assert found["falls"], case
        if "/mapped/" in case:
            continue
        assert found["parameters stay where they were"], case
        assert found["state stays where it was"], case
        # Over automatic axes the compiler may write an undivided array's sharding in its own way, once.
        assert found["compiled"] <= (1 if "explicit" in case else 2), case


SMALL = (
    "eager",
    "plain in context",
    "scanned",
    "frozen",
    "keyed",
    "constrained",
    "recipe",
    "asked inside",
    "injected",
    "spectra",
)
MAPPED_SMALL = ("two axes", "one of two axes", "batch everywhere", "ensemble", "in vmap")
EQUAL = tuple(
    f"equal {name} {check}"
    for name in ("newton", "cholesky", "cg", "kfac", "dual_newton", "fisher_newton", "recipe")
    for check in (True, False)
)
SAID = {
    "closed over": "kfac: predict closes over an array on explicit mesh axes (offset): hand it over in the inputs",
    "named inside": "cannot contain axis names that are of type Auto",
    "other devices": "kfac got parameters on devices 0 to 1 and batch on devices 2 to 3: put them on one mesh",
    "other mesh": "kfac got parameters on a mesh of axes {'d': 4} and batch on one of {'d': 2, 'e': 2}",
    "unnamed": "pass axis_name='d' to kfac, or axis_name=() where each replica trains alone",
    "unnamed, not tracked": "pass axis_name='d' to dual_newton",
    "unnamed in vmap": "pass axis_name='d' to kfac",
    "unnamed in pmap": "pass axis_name='d' to kfac",
    "wrong name": "newton got axis_name='data', which no axis that it is mapped over has ('d')",
    "pmap without a name": "kfac is mapped by jax.pmap over an axis without a name, and its replicas would drift apart",
    "wrong axis": "shard_batch: the mesh has no axis 'data', its axes are 'd'",
    "no divisor": "shard_batch: 14 examples do not divide among the 4 devices along 'd': take 12, or fill up",
    "no mesh": "replicate: mesh is None: give jax.make_mesh(",
    "no axis": "fisher_newton got axis_name='d', which no axis that it is mapped over has (there are none)",
    "no name": "kfac: axis_name is 3: give the name of a mapped axis",
    "noise apart": "it must be the same on all replicas",
}
QUICK = ("helped", "scanned", "equal fisher_newton True", *SAID)


@pytest.fixture(scope="module")
def quick(printed: Printed) -> dict[str, Any]:
    return printed("borders.py", *QUICK)


@pytest.mark.parametrize("case", SAID)
def test_what_cannot_be_right_is_refused_in_a_sentence(quick: dict[str, Any], case: str) -> None:
    assert SAID[case] in quick[case]
    assert quick[case].startswith("TypeError" if case in ("no name", "no mesh") else "ValueError")


@pytest.mark.parametrize("case", [case for case in QUICK if case not in SAID])
def test_points(quick: dict[str, Any], case: str) -> None:
    check_small(quick[case])


@pytest.mark.parametrize("cases", [SMALL, (*MAPPED_SMALL, *EQUAL)], ids=["meshes", "mapped axes"])
def test_all_points(printed: Printed, cases: tuple[str, ...]) -> None:
    for found in printed("borders.py", *cases).values():
        check_small(found)


def check_small(found: float | dict[str, float]) -> None:
    if isinstance(found, dict):
        assert found["replicas"] == 0
        found = found["against one device"]
    assert found < 2e-5
