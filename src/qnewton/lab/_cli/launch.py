"""`--processes N`: as many processes on this machine, which end together."""

import collections
import contextlib
import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

from .._experiments.cluster import COORDINATOR, PROCESS, PROCESSES
from .._experiments.exits import BAD_INPUT
from .._experiments.interrupts import SIGNALS

COMMAND = (sys.executable, "-m", "qnewton", "train")
_LINES = 200
"""Of what a process but the first said as errors, the last ones, which are shown if it fails."""
_GRACE_SECONDS = 2
"""In which the others may end by themselves, and say why, after one has failed."""
_ALIKE = (BAD_INPUT, *(128 + number for number in SIGNALS))
"""Bad input and interrupts: all processes say the same of these."""

Ended = tuple[int, int]
"""A process and its exit status; negative: the signal that killed it."""


def launch(arguments: Sequence[str], count: int) -> int:
    """Train by several processes, and wait for their end.

    The first one has this terminal. Of the others only the errors are shown, and only if they fail. When one fails, the
    others are ended. Ctrl-C and other signals to stop reach all.

    Args:
        arguments: of `qnewton train`.
        count: of processes.

    Returns:
        The exit status: that of the process that failed first; 128 and the signal where it was killed.
    """
    coordinator = f"127.0.0.1:{_free_port()}"
    # On accelerators one process has all devices.
    shared = {"JAX_PLATFORMS": "cpu", **os.environ, COORDINATOR: coordinator, PROCESSES: str(count)}
    with _forwarded() as processes:
        said = [collections.deque[str](maxlen=_LINES) for _ in range(count)]
        ended: queue.Queue[Ended] = queue.Queue()
        watchers: list[threading.Thread] = []
        for k in range(count):
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                env=shared | {PROCESS: str(k)},
                stdin=subprocess.DEVNULL if k else None,
                stdout=subprocess.DEVNULL if k else None,
                stderr=subprocess.PIPE if k else None,
                text=True,
                errors="replace",
            )
            processes.append(process)
            watchers.append(threading.Thread(target=_watch, args=(k, process, said[k], ended), daemon=True))
            watchers[-1].start()
        try:
            return _end(ended, processes, said)
        finally:
            for process in processes:
                process.kill()
            for watcher in watchers:
                watcher.join()


def _end(ended: "queue.Queue[Ended]", processes: Sequence[subprocess.Popen[str]], said: Sequence[Sequence[str]]) -> int:
    """Wait until all have ended, or one has failed and the others had their time to say why."""
    failed: list[Ended] = []
    for _ in processes:
        try:
            k, status = ended.get(timeout=_GRACE_SECONDS if failed else None)
        except queue.Empty:
            break
        if status:
            failed.append((k, status))
    if not failed:
        return 0
    first, status = failed[0]
    told = dict(failed).get(0)  # by the first process, on this terminal
    for k, own in itertools.takewhile(lambda end: end[0] != 0, failed):
        for line in () if own == told and own in _ALIKE else said[k]:
            print(f"process {k}: {line}", end="", file=sys.stderr)
    if status < 0:
        name = signal.Signals(-status).name
        print(f"qnewton: process {first} was ended by {name}, and the others with it", file=sys.stderr)
        return 128 - status
    return status


def _watch(k: int, process: subprocess.Popen[str], said: "collections.deque[str]", ended: "queue.Queue[Ended]") -> None:
    if process.stderr is not None:
        with process.stderr:
            said.extend(process.stderr)
    ended.put((k, process.wait()))


@contextlib.contextmanager
def _forwarded() -> Iterator[list[subprocess.Popen[str]]]:
    """Hand Ctrl-C and other signals to stop on to the processes in the list."""
    processes: list[subprocess.Popen[str]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield processes
        return
    before = {number: signal.signal(number, forward) for number in SIGNALS}
    try:
        yield processes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
