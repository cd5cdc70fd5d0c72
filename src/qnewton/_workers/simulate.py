"""Policies on traces: what a step's blocks would take on hundreds of machines, by the code that deals them out."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .._scheduling.makespan import Jobs
from .._scheduling.makespan.bound import lower_bound
from .._scheduling.makespan.heuristic import heuristic
from .policies import POLICIES, Policy, expected_makespan, makespans_of, pulled
from .traces import Trace, TraceModel
from .waits import WaitForecast, forecast

PULLED = "pulled"


@dataclass(frozen=True)
class Campaign:
    """Steps that are simulated.

    The blocks' seconds are drawn: work has a log-normal law, a classical machine does it at its own speed, and a
    quantum one, where the block's condition number lets it, faster. What a solve takes differs from its prediction by
    `noise`.

    Attributes:
        steps: how many, each judged by itself.
        blocks: of each.
        classical: classical machines.
        quantum: quantum machines, which wait in a queue of their own once a step.
        able: share of the blocks that quantum machines can take.
        work_s: median seconds of a block on a classical machine.
        advantage: by which a quantum machine is faster, in the median.
        noise: spread of the logarithm of realised over predicted seconds.
        every_s: seconds between the begins of two steps.
        warm_s: seconds of each queue that are observed before the first step.
        seed: of all that is drawn.
    """

    steps: int = 50
    blocks: int = 500
    classical: int = 24
    quantum: int = 8
    able: float = 0.6
    work_s: float = 600.0
    advantage: float = 10.0
    noise: float = 0.1
    every_s: float = 3600.0
    warm_s: float = 7 * 86400.0
    seed: int = 0

    def __post_init__(self):
        for name, least in (("steps", 1), ("blocks", 1), ("classical", 1), ("quantum", 0), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be at least {least}")
        for name in ("work_s", "advantage", "every_s", "warm_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}: it must be positive and finite")
        if not 0 <= self.able <= 1:
            raise ValueError(f"able is {self.able}: it is a share, from 0 to 1")
        if not 0 <= self.noise < float("inf"):
            raise ValueError(f"noise is {self.noise}: it must be finite and at least 0")


@dataclass(frozen=True, eq=False)
class Outcome:
    """Results of the policies. Seconds are simulated, except `decided_s`, which are measured.

    Attributes:
        makespan_s: policy to the realised makespan of each step `[steps]`.
        bound_s: below which no policy can be in the mean that does not know the future `[steps]`; None on traces whose
            law is not known.
        clairvoyant_s: below which nobody can be, who knows all waits and seconds beforehand, `[steps]`.
        decided_s: policy to the seconds that each decision took `[steps]`.
    """

    makespan_s: dict[str, np.ndarray]
    bound_s: np.ndarray | None
    clairvoyant_s: np.ndarray
    decided_s: dict[str, np.ndarray]

    def against(self, policy: str, other: str, seed: int = 0) -> tuple[float, float, float]:
        """Return the median over the steps of one policy's makespan over another's, and its 95 % interval.

        The interval is that of 2,000 bootstrap samples of the steps.
        """
        ratio = self.makespan_s[policy] / self.makespan_s[other]
        return interval(ratio, seed)


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return the median and its 95 % bootstrap interval."""
    random = np.random.default_rng(seed)
    medians = np.median(random.choice(values, (2000, len(values))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(values)), float(low), float(high)


@dataclass(frozen=True, eq=False)
class _Queue:
    """A quantum machine's queue at the steps: what is observed by then, and what comes.

    Attributes:
        seen: at a time, the waits that are known.
        comes: at a time, the wait of a job that comes then.
        expected: at a time, its expectation by the law; None where there is none.
    """

    seen: Callable[[float], np.ndarray]
    comes: Callable[[float], float]
    expected: Callable[[float], float] | None


def _drawn_queue(model: TraceModel, seed: int, hours: float) -> _Queue:
    """A queue by a law. Everybody sees the waits of those who came before, as providers show them."""
    trace, normal = model.draw(seed, hours)
    random = np.random.default_rng([seed, 1])
    fresh = random.standard_normal(len(normal))

    def place(now: float) -> int:
        return max(0, int(np.searchsorted(trace.arrival_s, now, side="right")) - 1)

    def comes(now: float) -> float:
        k = place(now)
        kept = np.exp(-(now - trace.arrival_s[k]) / model.memory_s)
        return float(model.wait(kept * normal[k] + np.sqrt(max(0.0, 1 - kept**2)) * fresh[k]))

    return _Queue(
        lambda now: trace.wait_s[: place(now) + 1],
        comes,
        lambda now: model.expected_wait(float(normal[place(now)]), now - float(trace.arrival_s[place(now)])),
    )


def _traced_queue(trace: Trace) -> _Queue:
    """A queue that was observed: waits are known once they are over."""
    return _Queue(trace.known_at, trace.wait_at, None)


def simulate(
    campaign: Campaign,
    model: TraceModel | None = None,
    traces: Sequence[Trace] = (),
    quantile: float | None = None,
) -> Outcome:
    """Simulate steps under every policy.

    Args:
        campaign: what is simulated.
        model: law of the queues; None: the published one.
        traces: of the queues, in the place of the law, taken in turn by the quantum machines.
        quantile: of the makespan that the rule minimises; None: its mean.

    Raises:
        ValueError: for a trace that is over before the last step.
    """
    model = TraceModel() if model is None else model
    last = campaign.warm_s + campaign.steps * campaign.every_s
    random = np.random.default_rng(campaign.seed)
    if traces:
        shortest = min(float(trace.arrival_s[-1]) for trace in traces)
        if shortest < last:
            raise ValueError(
                f"a trace ends after {shortest:g} s, and the last step begins at {last:g} s: take fewer steps, or a "
                "smaller --every-s or --warm-s"
            )
        queues = [_traced_queue(traces[k % len(traces)]) for k in range(campaign.quantum)]
    else:
        seeds = random.integers(2**31, size=campaign.quantum)
        queues = [_drawn_queue(model, int(seed), last / 3600 + 1) for seed in seeds]
    speeds = np.exp(0.5 * random.standard_normal(campaign.classical))
    gains = campaign.advantage * np.exp(0.3 * random.standard_normal(campaign.quantum))
    policies = dict(POLICIES) | {"makespan": partial(expected_makespan, quantile=quantile)}
    steps = []
    for step in range(campaign.steps):
        now = campaign.warm_s + step * campaign.every_s
        steps.append(_simulated(campaign, queues, now, speeds, gains, policies, random))
    names = (*policies, PULLED)
    known = None if traces else np.asarray([one["bound"] for one in steps])
    return Outcome(
        {name: np.asarray([one[name] for one in steps]) for name in names},
        known,
        np.asarray([one["clairvoyant"] for one in steps]),
        {name: np.asarray([one[f"{name} decided"] for one in steps]) for name in policies},
    )


def _simulated(
    campaign: Campaign,
    queues: Sequence[_Queue],
    now: float,
    speeds: np.ndarray,
    gains: np.ndarray,
    policies: Mapping[str, Policy],
    random: np.random.Generator,
) -> dict[str, float]:
    """One step: makespans, bounds, and the seconds that decisions took."""
    seconds = drawn_seconds(campaign, speeds, gains, random)
    noise = np.exp(campaign.noise * random.standard_normal(seconds.shape) - campaign.noise**2 / 2)
    idle = [WaitForecast(np.zeros(1))] * len(speeds)
    waits = [*idle, *(forecast(queue.seen(now)) for queue in queues)]
    comes = np.asarray([0.0] * len(speeds) + [queue.comes(now) for queue in queues])
    realised = seconds * noise
    found: dict[str, float] = {}
    for name, policy in policies.items():
        begun = time.perf_counter()
        assignment = policy(seconds, waits)
        found[f"{name} decided"] = time.perf_counter() - begun
        found[name] = float(makespans_of(realised, assignment, comes))
    found[PULLED] = pulled(realised, comes)
    found["clairvoyant"] = _bound(realised, comes)
    law = [queue.expected(now) for queue in queues if queue.expected is not None]
    if len(law) == len(queues):
        found["bound"] = _bound(seconds, np.asarray([0.0] * len(speeds) + law))
    return found


def _bound(seconds: np.ndarray, ready: np.ndarray) -> float:
    """Return the linear programme's bound.

    With expected seconds and waits it bounds every policy's expected makespan: that of a fixed assignment is convex in
    them (Jensen).
    """
    problem = Jobs.of(seconds, ready)
    assignment = heuristic(problem)
    return lower_bound(problem, float(makespans_of(problem.seconds, assignment, problem.ready_s)))


def drawn_seconds(campaign: Campaign, speeds: np.ndarray, gains: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return predicted seconds of a step's blocks `[blocks, machines]`."""
    work = campaign.work_s * np.exp(random.standard_normal(campaign.blocks))
    able = random.random(campaign.blocks) < campaign.able
    classical = work[:, None] * speeds
    quantum = np.where(able[:, None], work[:, None] / gains, np.inf)
    return np.concatenate([classical, quantum], axis=1)
