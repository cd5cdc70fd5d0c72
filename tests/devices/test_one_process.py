"""Sharded arrays in one process, and mapped axes: trainings and single points, each kind of device count one program.

The number of devices must be set before jax starts, so the programs run as processes of their own.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def printed(program: str, *arguments: str) -> dict[str, Any]:
    given = {**os.environ, "JAX_PLATFORMS": "cpu", **dict.fromkeys(ALONE, "1")}
    run = [sys.executable, str(HERE / program), *arguments]
    done = subprocess.run(run, capture_output=True, text=True, timeout=1500, env=given)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


OPTIMIZERS = (
    "newton",
    "blocks",
    "hybrid",
    "cholesky",
    "cg",
    "rule",
    "kfac",
    "clip",
    "dual",
    "fisher",
    "kept",
    "recipe",
)
EVERY = [
    f"{name}/{axes}/{layout}" for name in OPTIMIZERS for axes, layout in (("auto", "rows"), ("explicit", "columns"))
]
BY_DAY = ("kfac/explicit/columns", "fisher/auto/columns")

SOME = ("cg/explicit/rows", "dual/auto/copies", "hybrid/explicit/copies")


@pytest.mark.parametrize(
    ("devices", "cases"),
    [(1, ("fisher/explicit/copies",)), (4, BY_DAY), (4, SOME), (2, tuple(EVERY)), (8, tuple(EVERY))],
    ids=["1", "4", "4 more", "2 all", "8 all"],
)
def test_trainings_are_those_of_one_device(devices: int, cases: tuple[str, ...]) -> None:
    for case, found in printed("one_process.py", str(devices), *cases).items():
        assert found["losses"] < 1e-5, case
        assert found["falls"], case
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
    "no axis": "fisher_newton got axis_name='d', which no axis that it is mapped over has (there are none)",
    "no name": "kfac: axis_name is 3: give the name of a mapped axis",
    "noise apart": "it must be the same on all replicas",
}
QUICK = ("helped", "scanned", "equal fisher_newton True", *SAID)


@pytest.fixture(scope="module")
def quick() -> dict[str, Any]:
    return printed("borders.py", *QUICK)


@pytest.mark.parametrize("case", SAID)
def test_what_cannot_be_right_is_refused_in_a_sentence(quick: dict[str, Any], case: str) -> None:
    assert SAID[case] in quick[case]
    assert quick[case].startswith("TypeError" if case == "no name" else "ValueError")


@pytest.mark.parametrize("case", [case for case in QUICK if case not in SAID])
def test_points(quick: dict[str, Any], case: str) -> None:
    check_small(quick[case])


@pytest.mark.parametrize("cases", [SMALL, (*MAPPED_SMALL, *EQUAL)], ids=["meshes", "mapped axes"])
def test_all_points(cases: tuple[str, ...]) -> None:
    for found in printed("borders.py", *cases).values():
        check_small(found)


def check_small(found: float | dict[str, float]) -> None:
    if isinstance(found, dict):
        assert found["replicas"] == 0
        found = found["against one device"]
    assert found < 2e-5
