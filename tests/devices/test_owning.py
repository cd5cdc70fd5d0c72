"""Every factorisation is made by one device, and no step changes by that."""

from collections.abc import Callable
from typing import Any

import pytest

Printed = Callable[..., dict[str, Any]]

DAY = ("kfac/tracked",)
WORK = tuple(f"work/{name}" for name in ("kfac", "fisher", "cholesky", "cg"))
NIGHT = [
    f"{name}/{where}"
    for name in ("kfac", "fisher", "cholesky", "lu", "eigh", "dual")
    for where in ("mesh", "tracked", "untracked")
]


@pytest.fixture(scope="module")
def day(printed: Printed) -> dict[str, Any]:
    return printed("owning.py", "4", *DAY, "priced", *WORK)


@pytest.mark.parametrize("case", WORK)
def test_a_replica_of_four_does_a_quarter_of_the_work_and_a_little(day: dict[str, Any], case: str) -> None:
    assert 0.15 < day[case] < 0.35


@pytest.mark.parametrize("case", DAY)
def test_made_once(day: dict[str, Any], case: str) -> None:
    check_once(day[case], 4)


def test_an_exchange_that_takes_longer_than_the_work_is_left_out(day: dict[str, Any]) -> None:
    found = day["priced"]
    assert set(found["owners"]) == {-1}
    assert found["losses"] < 1e-5
    # Then the counter sees every device.
    assert found["together"] == {name: 4 * count for name, count in found["alone"].items()}


def test_factors_are_summed_over_devices_where_that_pays(printed: Printed) -> None:
    assert printed("owning.py", "2", "factors")["factors"] == [1, 0]


def test_products_of_conjugate_gradients_are_shared_out_by_examples(printed: Printed) -> None:
    found = printed("owning.py", "4", "moved/cg")["moved/cg"]
    assert found["others"] == []
    assert found["sums"] > 0


@pytest.mark.parametrize("devices", [2, 8])
def test_all_are_made_once(printed: Printed, devices: int) -> None:
    for found in printed("owning.py", str(devices), *NIGHT).values():
        check_once(found, devices)


def check_once(found: dict[str, Any], devices: int) -> None:
    assert found["losses"] < 1e-5, found
    assert found["falls"]
    assert sum(found["together"].values()) == sum(found["alone"].values()) > 0, found
    assert -1 not in found["owners"]
    assert len(set(found["owners"])) == min(devices, len(found["owners"])), found
