"""The host's part of a step that workers solve: it deals out, watches deadlines, and has failed blocks solved again."""

import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from .._scheduling.sent import Answered, Sent
from .attempts import Attempt
from .deal import Seen, deal, offer
from .engine import AbstractEngine, Colleague, Lost, Reply
from .waits import forecast

DRIVER = "driver"
_LONGEST_WAIT_S = 0.5


@dataclass(eq=False)
class _Task:
    """A block in the hands of a worker.

    Attributes:
        step: of the training.
        sent: the block.
        worker: who has it.
        place: of the candidate there.
        predicted_s: predicted seconds of the solve.
        planned_end_s: predicted end, from the step's begin.
        sent_at: by the driver's clock.
        since: when its clock began to run: it was sent, and the one before it was over.
        first: whether the worker has to compile for it.
    """

    step: int
    sent: Sent
    worker: str
    place: int
    predicted_s: float
    planned_end_s: float
    sent_at: float
    since: float
    first: bool


@dataclass(eq=False)
class Dispatcher:
    """Takes the blocks of a step to workers; `Courier` calls it from inside of the step.

    Attributes:
        engine: with the workers.
        patience: a solve is late once it took this many times its predicted seconds, and `grace_s`.
        grace_s: seconds that any solve may take longer.
        first_s: seconds that the first solve of a program on a worker may take longer, which compiles.
        stale: steps that a solution may be old which stands in for a late one; 0: none does.
        quantile: of a queue's predicted wait that is planned with; None: its mean.
        step: number of the present step.
        attempts: of all steps since the last time somebody took them away.
    """

    engine: AbstractEngine
    patience: float = 4.0
    grace_s: float = 5.0
    first_s: float = 120.0
    stale: int = 0
    quantile: float | None = None
    step: int = -1
    attempts: list[Attempt] = field(default_factory=list)
    clock: Callable[[], float] = time.time
    _began: float = 0.0
    _tasks: dict[Hashable, _Task] = field(default_factory=dict)
    _strays: dict[Hashable, _Task] = field(default_factory=dict)
    _results: dict[int, Answered | None] = field(default_factory=dict)
    _tried: dict[int, set[str]] = field(default_factory=dict)
    _arrays: dict[int, Any] = field(default_factory=dict)
    _plan: dict[int, str] = field(default_factory=dict)
    _seen: dict[int, Seen] = field(default_factory=dict)
    _before: dict[int, Seen] = field(default_factory=dict)
    _last: dict[str, tuple[int, Answered]] = field(default_factory=dict)
    _free: dict[str, float] = field(default_factory=dict)
    _compiled: set[tuple[str, str, int]] = field(default_factory=set)
    _queued: dict[str, list[float]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def send(self, sent: Sent) -> None:
        """Give a block to a worker."""
        with self._lock:
            if sent.block == 0:
                self._begin(sent)
            self._seen[sent.block] = Seen(sent.seconds, sent.choice, sent.nbytes, sent.on)
            self._results.pop(sent.block, None)
            self._tried[sent.block] = set()
            if sent.choice < 0 or not sent.finite:
                # Nobody can take it: what the step makes of it, it makes alone.
                self._results[sent.block] = None
                return
            self._give(sent)

    def wait(self, block: int) -> Answered | None:
        """Wait for a block; None: the driver solves it."""
        with self._lock:
            while block not in self._results:
                self._pump()
            return self._results[block]

    def taken(self) -> list[Attempt]:
        """Return the attempts since the last call."""
        with self._lock:
            found, self.attempts = self.attempts, []
            return found

    def _begin(self, sent: Sent) -> None:
        """Begin a step: what comes late from an earlier one is kept, and the blocks are dealt out."""
        self.step += 1
        self._began = self.clock()
        self._arrays.clear()
        # What an earlier step did not wait for any more.
        self._strays |= self._tasks
        self._tasks = {}
        self._gather_strays()
        self._before, self._seen = self._seen, {}
        crew = self._crew()
        busy = {who.name: self._busy(who.name) for who in crew}
        known = self._before if len(self._before) == sent.blocks else {}
        self._plan = deal(known, sent.program.quantum, crew, busy)

    def _crew(self) -> list[Colleague]:
        """Return the workers that are present and not overdue."""
        overdue = {task.worker for task in self._strays.values()}
        return [self._as_observed(who) for who in self.engine.present() if who.name not in overdue]

    def _as_observed(self, who: Colleague) -> Colleague:
        """A worker with the wait that its queue is predicted to have, from those that its answers told of."""
        observed = self._queued.get(who.name)
        return who if not observed else replace(who, wait_s=forecast(observed).figure(self.quantile))

    def _busy(self, worker: str) -> float:
        return max(0.0, self._free.get(worker, 0.0) - self.clock())

    def _give(self, sent: Sent) -> None:
        """Give a block to the worker of the plan, else to the one that is done soonest, else to the driver."""
        tried, quantum = self._tried[sent.block], sent.program.quantum
        crew = [who for who in self._crew() if who.name not in tried]
        offers = {who.name: offer(self._seen[sent.block], quantum, who) for who in crew}
        ends = {
            who.name: self._busy(who.name) + who.wait_s + offers[who.name].seconds
            for who in crew
            if math.isfinite(offers[who.name].seconds)
        }
        as_chosen = [name for name in ends if offers[name].place == sent.choice]
        ends = {name: ends[name] for name in (as_chosen or ends)}
        if not ends:
            self._results[sent.block] = None
            self._note(sent, DRIVER, sent.choice, DRIVER)
            return
        planned = self._plan.get(sent.block)
        worker = planned if not tried and planned in ends else min(ends, key=lambda name: ends[name])
        place, seconds = offers[worker].place, offers[worker].seconds
        wait = next(who.wait_s for who in crew if who.name == worker)
        tried.add(worker)
        now = self.clock()
        end = now + self._busy(worker) + wait + seconds
        self._free[worker] = end
        known = (worker, sent.program.key, place)
        task = _Task(
            self.step, sent, worker, place, wait + seconds, end - self._began, now, now, known not in self._compiled
        )
        try:
            if sent.block not in self._arrays:
                self._arrays[sent.block] = self.engine.put(sent.arrays)
            handle = self.engine.send(worker, sent.program, place, self._arrays[sent.block])
        except Lost:
            # What it was at is what its death costs: that answer is still to be asked for.
            waiting = any(other.worker == worker for other in self._tasks.values())
            self._over(task, "moved" if waiting else "died")
            self._give(sent)
            return
        self._tasks[handle] = task

    def _pump(self) -> None:
        """Look after what came, and what should have come by now."""
        deadlines = self._deadlines()
        now = self.clock()
        timeout = max(0.0, min([_LONGEST_WAIT_S, *(end - now for end in deadlines.values())]))
        for handle in self.engine.ready(list(self._tasks), timeout):
            if handle in self._tasks:  # not moved away meanwhile, from a worker that is gone
                self._receive(handle)
        now = self.clock()
        for worker, end in self._deadlines().items():
            if now > end:
                self._late(worker)

    def _heads(self) -> dict[str, Hashable]:
        """Worker to what it is at."""
        heads: dict[str, Hashable] = {}
        for handle, task in self._tasks.items():
            heads.setdefault(task.worker, handle)
        return heads

    def _deadlines(self) -> dict[str, float]:
        ends = {}
        for worker, handle in self._heads().items():
            task = self._tasks[handle]
            ends[worker] = task.since + self.patience * task.predicted_s + self.grace_s + self.first_s * task.first
        return ends

    def _receive(self, handle: Hashable) -> None:
        head = self._heads()[self._tasks[handle].worker]
        task = self._tasks.pop(handle)
        try:
            reply = self.engine.get(handle)
        except Lost:
            # Of what waits at a worker that is gone, nothing was begun.
            self._compiled = {known for known in self._compiled if known[0] != task.worker}
            self._free.pop(task.worker, None)
            rest = [own for own, other in self._tasks.items() if other.worker == task.worker]
            lost = {handle: task} | {own: self._tasks.pop(own) for own in rest}
            for own, other in lost.items():
                self._over(other, "died" if own == head else "moved")
                self._give(other.sent)
            return
        self._compiled.add((task.worker, task.sent.program.key, task.place))
        for other in self._tasks.values():
            if other.worker == task.worker:
                other.since = max(other.since, self.clock())
        if not any(other.worker == task.worker for other in self._tasks.values()):
            self._free.pop(task.worker, None)
        if reply.queued_s > 0 or task.worker in self._queued:
            self._queued.setdefault(task.worker, []).append(reply.queued_s)
        residual = task.sent.residual(reply.value)
        if not residual <= task.sent.tolerance:
            self._over(task, "residual", reply, residual)
            self._give(task.sent)
            return
        self._over(task, "solved", reply, residual)
        self._keep(task, reply)
        self._results[task.sent.block] = self._last[task.sent.name][1]

    def _keep(self, task: _Task, reply: Reply) -> None:
        """Remember the newest solution of a block."""
        found = Answered(reply.value, reply.iterations, reply.queries, reply.success_probability, reply.outcome)
        if task.step >= self._last.get(task.sent.name, (-1, found))[0]:
            self._last[task.sent.name] = task.step, found

    def _late(self, worker: str) -> None:
        """A worker is overdue: its blocks go elsewhere, and it gets no others until its answer is there."""
        mine = [handle for handle, task in self._tasks.items() if task.worker == worker]
        for place, handle in enumerate(mine):
            task = self._strays[handle] = self._tasks.pop(handle)
            self._over(task, "moved" if place else "late")
        for handle in mine:
            sent = self._strays[handle].sent
            step, old = self._last.get(sent.name, (-1, None))
            age = self.step - step
            if old is not None and 0 < age <= self.stale:
                self._results[sent.block] = old._replace(age=age)
                self._note(sent, worker, sent.choice, "stale", age)
            else:
                self._give(sent)

    def _gather_strays(self) -> None:
        """Take what came late: a solution that is newer than the last one is the last one now."""
        for handle in self.engine.ready(list(self._strays), 0.0) if self._strays else []:
            task = self._strays.pop(handle)
            try:
                reply = self.engine.get(handle)
            except Lost:
                continue
            if task.sent.residual(reply.value) <= task.sent.tolerance:
                self._keep(task, reply)

    def _over(self, task: _Task, outcome: str, reply: Reply | None = None, residual: float | None = None) -> None:
        now = self.clock()
        times: dict[str, Any] = {}
        if reply is not None:
            times = {
                "started_s": reply.started_s - self._began,
                "ended_s": reply.ended_s - self._began,
                "queued_s": reply.queued_s,
                "paid": reply.paid,
            }
        self.attempts.append(
            Attempt(
                step=task.step,
                block=task.sent.name,
                worker=task.worker,
                candidate=task.sent.program.names[task.place],
                outcome=outcome,
                predicted_s=task.predicted_s,
                planned_end_s=task.planned_end_s,
                sent_s=task.sent_at - self._began,
                received_s=now - self._began,
                residual=residual,
                **times,
            )
        )

    def _note(self, sent: Sent, worker: str, place: int, outcome: str, age: int = 0) -> None:
        """Record what no worker solved."""
        now, seconds = self.clock() - self._began, float(sent.seconds[place])
        candidate = sent.program.names[place]
        self.attempts.append(
            Attempt(self.step, sent.name, worker, candidate, outcome, seconds, now + seconds, now, now, age=age)
        )
