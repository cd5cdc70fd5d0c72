"""A quantum machine as a service: its queue, session, reservation, calibration pauses and prices."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from .managed import Resource
from .traces import Trace
from .waits import WaitForecast, forecast


class Standing(NamedTuple):
    """Time until a machine is free, and until our session ends.

    Attributes:
        free_s: when it has done what we gave it.
        session_until_s: until when a session of ours stays open.
    """

    free_s: float = 0.0
    session_until_s: float = -math.inf


@dataclass(frozen=True)
class QuantumService:
    """Terms of access to a quantum machine. All times are seconds; those of events count from the worker's start.

    Attributes:
        trace: of its queue: a job waits as long as the last one in it that came before; None: `wait_s`.
        wait_s: that every job waits where there is no trace.
        session_s: after a job, in which the next one does not queue; 0: there are no sessions.
        reservations: windows, from and to, in which no job of ours queues.
        price_per_s: of a second on the machine; of every second of a reservation, busy or idle.
        price_per_shot: of a shot, where shots are measured.
        calibrates_every_s: between the begins of two calibrations; infinite: there are none.
        calibration_s: that one takes; nothing begins meanwhile.
        transfer_s: of a system there.
        decode_s: of a solution back.
        emulated: whether circuits are carried out by their exact states where the training only models them.
        device: a PennyLane device that runs the circuits; None: none does.
        shots: that the device measures; None: its exact state.
        resource: makes a machine under a resource manager, with QRMI's calls, which solves each system as a task; None:
            there is none.
    """

    trace: Trace | None = None
    wait_s: float = 0.0
    session_s: float = 0.0
    reservations: tuple[tuple[float, float], ...] = ()
    price_per_s: float = 0.0
    price_per_shot: float = 0.0
    calibrates_every_s: float = math.inf
    calibration_s: float = 0.0
    transfer_s: float = 0.0
    decode_s: float = 0.0
    emulated: bool = False
    device: str | None = None
    shots: int | None = None
    resource: Callable[[], Resource] | None = None

    def __post_init__(self):
        for name in ("wait_s", "session_s", "price_per_s", "price_per_shot", "calibration_s", "transfer_s", "decode_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"QuantumService: {name} is {getattr(self, name)}: it must be finite and at least 0")
        if not self.calibrates_every_s > self.calibration_s:
            raise ValueError(
                f"QuantumService: calibrates_every_s is {self.calibrates_every_s} and calibration_s "
                f"{self.calibration_s}: a calibration ends before the next one begins"
            )
        for begin, end in self.reservations:
            if not 0 <= begin < end:
                raise ValueError(
                    f"QuantumService: a reservation from {begin} to {end} s: it begins at 0 or later, and ends"
                )
        if self.emulated and self.device is not None:
            raise ValueError(f"QuantumService: emulated=True and device={self.device!r}: leave out one of them")
        if self.resource is not None and (self.emulated or self.device is not None):
            raise ValueError("QuantumService: a resource solves by itself: leave out device and emulated, or it")

    def queue_at(self, time_s: float) -> float:
        """Return how long a job queues that comes at this time, outside of sessions and reservations."""
        return self.wait_s if self.trace is None else self.trace.wait_at(time_s)

    def begins(self, standing: Standing, arrival_s: float) -> float:
        """Return when a job begins that comes at this time."""
        ready = max(arrival_s, standing.free_s)
        reserved = any(begin <= ready < end for begin, end in self.reservations)
        if not reserved and arrival_s > standing.session_until_s:
            queued = arrival_s + self.queue_at(arrival_s)
            windows = [begin for begin, _ in self.reservations if begin >= ready]
            ready = max(ready, min([queued, *windows]))
        return self._calibrated(ready)

    def _calibrated(self, time_s: float) -> float:
        """The time, or the end of the calibration that it falls into."""
        if not math.isfinite(self.calibrates_every_s):
            return time_s
        begun = math.floor(time_s / self.calibrates_every_s) * self.calibrates_every_s
        # The first one is an interval after the start.
        return max(time_s, begun + self.calibration_s) if begun > 0 else time_s

    def after(self, end_s: float) -> Standing:
        """Return the machine's state after a job that ended at this time."""
        return Standing(end_s, end_s + self.session_s if self.session_s > 0 else -math.inf)

    def price(self, begin_s: float, end_s: float, shots: int = 0) -> float:
        """Return what a job costs besides its reservation."""
        reserved = any(begin <= begin_s < end for begin, end in self.reservations)
        return (0.0 if reserved else self.price_per_s * (end_s - begin_s)) + self.price_per_shot * shots

    @property
    def reservation_price(self) -> float:
        """Price of all windows, busy or idle."""
        return self.price_per_s * sum(end - begin for begin, end in self.reservations)

    def forecast(self, standing: Standing, now_s: float) -> WaitForecast:
        """Predict how long a job will queue that comes now, from what was seen of the queue until now."""
        if now_s <= standing.session_until_s or any(begin <= now_s < end for begin, end in self.reservations):
            return forecast(())
        if self.trace is None:
            return forecast((self.wait_s,))
        return forecast(self.trace.known_at(now_s))
