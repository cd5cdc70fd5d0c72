"""Traces of queues: when jobs came to a machine, how long they waited, and how long they ran."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

ARRIVAL, WAIT, SERVICE = "arrival_s", "wait_s", "service_s"
PUBLISHED_WAITS = ((0.0, 1.0), (0.2, 60.0), (0.5, 3600.0), (0.7, 7200.0), (0.9, 86400.0), (1.0, 604800.0))
"""Quantiles of the waits in IBM's cloud over two years: a fifth below a minute, a median of about an hour, three tenths
above two hours, a tenth a day or more (Ravi, Smith, Gokhale and Chong, IISWC 2021, arXiv 2203.13121). Between them the
logarithm is interpolated; the two ends, a second and a week, are ours."""


@dataclass(frozen=True, eq=False)
class Trace:
    """What was seen of the queue of one machine, in the order of arrivals.

    Attributes:
        arrival_s: seconds from the trace's begin, `[jobs]`, at least 0 and in order.
        wait_s: that each job waited, `[jobs]`.
        service_s: that each job ran, `[jobs]`.
    """

    arrival_s: np.ndarray
    wait_s: np.ndarray
    service_s: np.ndarray

    @classmethod
    def of(
        cls,
        arrival_s: Sequence[float] | np.ndarray,
        service_s: Sequence[float] | np.ndarray,
        wait_s: Sequence[float] | np.ndarray | None = None,
    ) -> "Trace":
        """Return a trace that was checked.

        Args:
            arrival_s: as above.
            service_s: as above.
            wait_s: as above; None: the jobs are served one after the other, as they come.

        Raises:
            ValueError: for no job, another number of them, times that are negative or not finite, or arrivals out of
                order.
        """
        arrival, service = np.asarray(arrival_s, np.float64), np.asarray(service_s, np.float64)
        wait = _in_turn(arrival, service) if wait_s is None else np.asarray(wait_s, np.float64)
        if not arrival.size:
            raise ValueError("the trace holds no job: one line for each, below the names of the columns")
        for name, column in ((ARRIVAL, arrival), (WAIT, wait), (SERVICE, service)):
            if column.shape != arrival.shape:
                raise ValueError(f"the trace has {arrival.size} arrivals and {column.size} values of {name}")
            wrong = np.flatnonzero(~(np.isfinite(column) & (column >= 0)))
            if wrong.size:
                k = int(wrong[0])
                raise ValueError(
                    f"job {k + 1} of the trace: {name} is {column[k]:g}: seconds are finite and at least 0"
                )
        early = np.flatnonzero(np.diff(arrival) < 0)
        if early.size:
            k = int(early[0]) + 1
            raise ValueError(
                f"job {k + 1} of the trace comes at {arrival[k]:g} s, after one at {arrival[k - 1]:g} s: sort the jobs "
                f"by {ARRIVAL}"
            )
        return cls(arrival, wait, service)

    def wait_at(self, time_s: float) -> float:
        """Return how long a job would wait that comes at this time: as long as the last one before it."""
        place = int(np.searchsorted(self.arrival_s, time_s, side="right")) - 1
        return float(self.wait_s[max(place, 0)])

    def known_at(self, time_s: float) -> np.ndarray:
        """Return the waits that were over by then, in the order of arrivals."""
        return self.wait_s[self.arrival_s + self.wait_s <= time_s]


def _in_turn(arrival: np.ndarray, service: np.ndarray) -> np.ndarray:
    """Return the waits of jobs that one machine serves in the order of arrival (Lindley 1952)."""
    if arrival.shape != service.shape:
        raise ValueError(f"the trace has {arrival.size} values of {ARRIVAL} and {service.size} of {SERVICE}")
    wait, found = 0.0, []
    for k in range(arrival.size):
        if k:
            wait = max(0.0, wait + service[k - 1] - (arrival[k] - arrival[k - 1]))
        found.append(wait)
    return np.asarray(found)


def read_trace(path: Path) -> Trace:
    """Read a trace from a CSV file.

    Args:
        path: with the columns `arrival_s` and `service_s`, and `wait_s` where it is known, in any order.

    Raises:
        ValueError: for what is no trace, with the line.
        OSError: if it cannot be read.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        names = [name.strip() for name in rows.fieldnames or ()]
        missing = [name for name in (ARRIVAL, SERVICE) if name not in names]
        if missing:
            raise ValueError(
                f"{path}: the first line names the columns {', '.join(names) or 'of nothing'}, and {missing[0]} is not "
                f"among them: it needs {ARRIVAL} and {SERVICE}, and may have {WAIT}"
            )
        columns: dict[str, list[float]] = {name: [] for name in (ARRIVAL, SERVICE, WAIT) if name in names}
        rows.fieldnames = names
        for row in rows:
            for name, column in columns.items():
                try:
                    column.append(float(row[name]))
                except (TypeError, ValueError):
                    raise ValueError(
                        f"{path}, line {rows.line_num}: {name} is {row[name]!r}, which is no number"
                    ) from None
    try:
        return Trace.of(columns[ARRIVAL], columns[SERVICE], columns.get(WAIT))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace as CSV, to the last digit."""
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([ARRIVAL, WAIT, SERVICE])
        for row in zip(trace.arrival_s, trace.wait_s, trace.service_s, strict=True):
            rows.writerow([repr(float(value)) for value in row])


@dataclass(frozen=True)
class TraceModel:
    """A law of traces: waits with published quantiles that follow each other slowly.

    The standard normal quantile of the waits is a stationary process of first order, so that one wait tells about the
    next one.

    Attributes:
        quantiles: pairs of probability and wait in seconds, from 0 to 1.
        gap_s: mean seconds between two jobs, which come at random.
        memory_s: after which the correlation of the waits has fallen to 1/e.
        service_s: median of the run times.
        spread: of their logarithm.
        scale: factor on all waits.
    """

    quantiles: tuple[tuple[float, float], ...] = PUBLISHED_WAITS
    gap_s: float = 300.0
    memory_s: float = 6 * 3600.0
    service_s: float = 60.0
    spread: float = 1.0
    scale: float = 1.0

    def wait(self, normal: np.ndarray | float) -> np.ndarray:
        """Return the wait at a standard normal quantile."""
        known = NormalDist()
        chance = np.vectorize(known.cdf)(normal)
        places, waits = zip(*self.quantiles, strict=True)
        return self.scale * np.exp(np.interp(chance, places, np.log(waits)))

    def draw(self, seed: int, hours: float) -> tuple[Trace, np.ndarray]:
        """Return a trace, and the normal quantile of each wait.

        Args:
            seed: of the draw.
            hours: that it lasts.
        """
        random = np.random.default_rng(seed)
        count = max(2, math.ceil(hours * 3600 / self.gap_s))
        gaps = random.exponential(self.gap_s, count)
        arrival = np.cumsum(gaps) - gaps[0]
        normal = np.empty(count)
        normal[0] = random.standard_normal()
        for k in range(1, count):
            kept = math.exp(-gaps[k] / self.memory_s)
            normal[k] = kept * normal[k - 1] + math.sqrt(1 - kept**2) * random.standard_normal()
        service = self.service_s * np.exp(self.spread * random.standard_normal(count))
        return Trace.of(arrival, service, self.wait(normal)), normal

    def expected_wait(self, normal: float, later_s: float) -> float:
        """Return the expected wait some time after one whose normal quantile is known: by the law, for bounds.

        By Gauss-Hermite quadrature of 64 points.
        """
        points, weights = np.polynomial.hermite_e.hermegauss(64)
        kept = math.exp(-later_s / self.memory_s)
        waits = self.wait(kept * normal + math.sqrt(max(0.0, 1 - kept**2)) * points)
        return float(weights @ waits / weights.sum())
