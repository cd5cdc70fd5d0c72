"""Tests in a process of their own, which starts where everything but the package has been imported.

What is run is a copy of the checkout, in which one file at a time is changed. Compiled programs are kept on disk, so
that a run compiles what its change made different, and little else.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COPIED = ("src", "tests", "docs", "benchmarks", "examples")
BYTES = 12 << 30

# What was imported before cannot be rewritten, and was not meant to be.
QUIETLY = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")

# A test that takes this much longer than it took does not end.
LONGER, SECONDS_MORE = 10.0, 20.0


def import_what_tests_need(programs: Path) -> None:
    """Imports what every run would import, with a folder for compiled programs; sets the environment for it."""
    os.environ |= {
        "CI": "true",  # property tests draw the same examples every time
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    sys.dont_write_bytecode = True
    import coverage, equinox, hypothesis, jax.numpy, lineax, matfree, optax, pytest, scipy  # noqa: E401, F401  # isort: skip


@contextmanager
def copy_of_the_checkout() -> Iterator[Path]:
    """A copy, of which `src` is the first on the path of everything that is started meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copied / name)
        shutil.copy(ROOT / "pyproject.toml", copied)
        os.environ["PYTHONPATH"] = str(copied / "src")
        yield copied


@contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    """A file with another text, for a while."""
    before = file.read_bytes()
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.write_bytes(before)


class Watch:
    """A plugin of pytest: runs the chosen tests in their order, notes how each ended, and stops what does not end."""

    def __init__(self, out: Path, chosen: Mapping[str, float] | None):
        """Takes the file to write, and the tests with the seconds that each took; None: all."""
        self._file = out.open("a", encoding="utf-8")
        self._chosen = chosen
        self.started: Callable[[str], None] = lambda name: None
        self._failed = False

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def pytest_collection(self) -> None:
        # That an example fails is enough: to look for a smaller one takes longer than all tests.
        from hypothesis import Phase, settings

        settings.register_profile("mutants", settings.default, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._chosen is not None:
            order = {name: place for place, name in enumerate(self._chosen)}
            items[:] = sorted((it for it in items if it.nodeid in order), key=lambda it: order[it.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started(nodeid)
        self._failed, self._clock = False, time.process_time()
        self._write(test=nodeid, outcome="started")
        if self._chosen is not None:
            signal.setitimer(signal.ITIMER_PROF, LONGER * self._chosen[nodeid] + SECONDS_MORE)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._failed |= report.failed

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - self._clock
        self._write(test=nodeid, outcome="failed" if self._failed else "passed", seconds=seconds)


def run(
    copied: Path,
    files: list[str],
    chosen: Mapping[str, float] | None,
    seconds: float,
    *,
    to_the_end: bool = False,
    traced: Callable[[], tuple[Callable[[str], None], Callable[[], None]]] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """How tests end, in a process that is forked for them.

    Args:
        copied: the copy of the checkout.
        files: of tests, relative to it.
        chosen: the tests to run, in this order, with the seconds that each took; None runs all.
        seconds: of processor time, at most.
        to_the_end: whether to go on after a failure.
        traced: starts a trace in the process, and returns what notes the start of a test and what ends the trace.

    Returns:
        A line for each test that started or ended, and the exit status (negative: the signal that ended it).
    """
    out = copied / "outcomes.jsonl"
    out.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            watch = Watch(out, chosen)
            status = _tests(copied, [*files, *([] if to_the_end else ["-x"])], watch, seconds, traced)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status, _ = os.wait4(child, 0)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [json.loads(line) for line in lines], os.waitstatus_to_exitcode(status)


def _tests(
    copied: Path,
    arguments: list[str],
    watch: Watch,
    seconds: float,
    traced: Callable[[], tuple[Callable[[str], None], Callable[[], None]]] | None,
) -> int:
    import pytest

    os.chdir(copied)
    sys.path.insert(0, str(copied / "src"))
    said = os.open(copied / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(said, stream)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a loop in compiled code, too
    signal.alarm(int(5 * seconds + 120))  # what waits for another process uses no time of its own
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))
    ended = None
    if traced:
        watch.started, ended = traced()
    status = pytest.main([*QUIETLY, *arguments], [watch])
    if ended:
        ended()
    return int(status)
