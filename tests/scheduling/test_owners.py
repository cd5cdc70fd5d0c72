"""Tasks dealt out among devices: against all assignments there are, and the exchange in the price."""

import itertools
from collections.abc import Iterator

import jax
import numpy as np
import pytest

import qnewton as qn
from qnewton._core.costs import Cost
from qnewton._core.records import ClassicalWorkload
from qnewton._devices.crew import EVERYONE, Crew
from qnewton._hardware.link import Link, measured_link
from qnewton._pricing.group import Group, direct_seconds
from qnewton._scheduling import owners
from qnewton._scheduling.calibration import rated_once
from qnewton._scheduling.contests import contests
from qnewton._scheduling.families import scheduler_of
from qnewton._scheduling.owners import Job, deal_out, links, worth_dividing
from qnewton._scheduling.together import picked

FREE, SLOW = Link(3, 0.0, 0.0, 0.0), Link(3, 1e-3, 1e-6, 1e-6)


@pytest.fixture(autouse=True)
def nothing_measured() -> Iterator[None]:
    yield
    links.cache_clear()


def three(link: Link) -> Crew:
    links.set(link)
    return Crew(("d",), 3, None)


def test_a_free_link_gives_nearly_the_shortest_schedule() -> None:
    seconds = [7.0, 5.0, 4.0, 4.0, 3.0, 2.0]
    deal = deal_out([Job(s, 10**9) for s in seconds], three(FREE))
    loads = [np.bincount(who, seconds, 3).max() for who in itertools.product(range(3), repeat=len(seconds))]
    assert deal.seconds == pytest.approx(min(loads))
    assert np.bincount(deal.owners, seconds).max() == pytest.approx(deal.seconds)
    assert deal.alone_seconds == sum(seconds)


def test_what_takes_longer_to_exchange_than_to_make_is_made_by_everyone() -> None:
    jobs = [Job(1.0, 1000), Job(1e-4, 1000), Job(1.0, 1000), Job(1.0, 10**7)]
    deal = deal_out(jobs, three(SLOW))
    assert [owner == EVERYONE for owner in deal.owners] == [False, True, False, True]
    assert deal.owners[0] != deal.owners[2]
    # One of the two that are shared, both of the others, and the exchange.
    assert deal.seconds == pytest.approx(1.0 + 1.0 + 1e-4 + 1e-3 + 2000e-6)
    assert deal.exchanged_bytes == 2000


@pytest.mark.parametrize("jobs", [[Job(1e-4, 8)] * 6, [Job(5.0, 8)], []], ids=["calls", "one job", "none"])
def test_where_nothing_is_won_nobody_owns_anything(jobs: list[Job]) -> None:
    deal = deal_out(jobs, three(SLOW))
    assert not deal.shared
    assert set(deal.owners) <= {EVERYONE}
    assert deal.seconds == deal.alone_seconds
    assert deal.factor == 1


def test_work_is_divided_where_that_spares_more_than_the_sums_take() -> None:
    work, link = Cost(1e9, 0.0), Link(3, 0.0, 0.0, 1e-9)
    machine = rated_once((qn.LU(), qn.CG()), "float32", probe=False)
    spared = float(machine.seconds(ClassicalWorkload("forming", work.flops, work.bytes))) * 2 / 3
    for share, pays in ((0.9, True), (1.1, False)):
        assert worth_dividing(work, round(share * spared * 1e9), "float32", three(link)) == pays
    assert worth_dividing(work, 10**12, "float32", None)


def test_no_measurement_decides_in_which_order_sums_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object, **__: object) -> float:
        raise AssertionError("it was measured")

    for what in ("qnewton._scheduling.owners.measured_link", "qnewton._hardware.rated.median_seconds"):
        monkeypatch.setattr(what, measured)
    rated_once.cache_clear()
    links.cache_clear()
    two = Crew(("d",), 2, None)
    assert worth_dividing(Cost(1e9, 0.0), 10**6, "float32", two)
    assert not worth_dividing(Cost(1e9, 0.0), 10**10, "float32", two)


def test_several_processes_always_divide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run measures its link anew, and sums in another order would change its last bits."""
    asked = (Cost(1e9, 0.0), 10**12, "float32", three(SLOW))
    assert not worth_dividing(*asked)
    monkeypatch.setattr(owners, "several", lambda: True)
    assert worth_dividing(*asked)


def test_one_device_owns_nothing() -> None:
    assert not deal_out([Job(1.0, 8)] * 4, None).shared


def test_the_price_of_a_group_holds_the_exchange_and_not_what_it_spares() -> None:
    scheduler = scheduler_of(qn.Inverse(), "kfac")
    (solver,) = contests(scheduler, [Group("things", (40, 30), 6, serves=5)])
    once = sum(pair[0] for pair in direct_seconds(solver.group, qn.Inverse(), solver.machine))
    link = Link(3, once / 10, 0.0, 0.0)
    deal = deal_out([Job(once, 100)] * 6, three(link))
    owners = np.reshape([*deal.owners, *deal.owners], (2, 6))
    alone, shared = (
        plan.offers.seconds[0, solver.kept[0]] for plan in (solver.settled, solver.settled_at(deal, owners))
    )
    # Two of six each and the exchange, in the place of six, for five steps.
    assert alone - shared == pytest.approx((6 - 2 - 0.1) * once / 5, rel=1e-4)
    np.testing.assert_array_equal(solver.settled_at(deal, owners).owners, owners)


def test_members_are_picked_in_any_order() -> None:
    stack = np.arange(24.0).reshape(8, 3)
    for which in ([0, 1, 2], [5], [1, 2, 6, 0, 7], [7, 6, 5]):
        np.testing.assert_array_equal(picked(stack, np.array(which)), stack[which])  # pyright: ignore[reportArgumentType]


def test_a_link_is_measured_and_says_so() -> None:
    link = measured_link(jax.devices()[:1])
    assert link.devices == 1
    assert link.seconds_per_call > 0
    assert link.seconds_per_byte >= 0
    assert link.seconds(2e6) == link.seconds_per_call + 2e6 * link.seconds_per_byte
    assert link.basis == "measured"
