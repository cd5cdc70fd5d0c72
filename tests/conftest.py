"""What every test may use: both float widths, and one profile for the property tests."""

import gc
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import pytest

# Nearly all of the tests' time is compilation, of programs that run once. So they are compiled the quick way: without
# LLVM's optimiser, and by XLA's older emitters, which halves the time of it all. JAX reads this when it first computes.
# Newer versions have no older emitters, and end the process at a flag that they do not know.
# Whoever sets the variable runs the tests their way: `XLA_FLAGS= make test` compiles as users and benchmarks do, and
# the training in a process of its own (tests/cli) always does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_parallel_codegen_split_count=1"
    + (" --xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""),
)

# Two workers on two cores: threads of one's BLAS would wait for the other's. Read when BLAS is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Many tests trace anew what another one has compiled. The processes of a run share that, and the next run begins anew.
# JAX may have been imported before, by a plugin: hence both the variables and the settings.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="qnewton-tests-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update(
    "jax_persistent_cache_min_compile_time_secs", float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"])
)

NIGHTLY = Path(__file__).parent / "nightly.txt"

# What waits for other processes, or is waited for by another file, begins, so that the run ends with small files.
FIRST = ("workers/test_ray.py", "explore/test_bundle.py", "experiments/test_together.py", "devices/test_processes.py")

# Tracing makes objects by the hundred thousand, few of them in cycles.
gc.set_threshold(20_000)

hypothesis.settings.register_profile(
    "qnewton",
    deadline=None,  # the first example of a test compiles, the others do not
    max_examples=15,
    derandomize="CI" in os.environ,
    # `dtype` below is the same for all examples of a test, so it need not be set up anew for each of them.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("qnewton")


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks `nightly` what `make test-all` runs and `make test` does not: what `nightly.txt` lists, and one float type.

    A test that is there in single and in double precision has one of them by day, by the checksum of its name, so that
    half of the tests see either.
    """
    lines = {line.split("#")[0].strip() for line in NIGHTLY.read_text(encoding="utf-8").splitlines()} - {""}
    listed = re.compile("|".join(re.escape(line).replace(r"\*", ".*") for line in sorted(lines)))
    names = {item.nodeid.removeprefix("tests/") for item in items}
    for item in items:
        name = item.nodeid.removeprefix("tests/")
        single, double = name.replace("float64", "float32"), name.replace("float32", "float64")
        other_width = {single, double} <= names and name != (single, double)[zlib.crc32(single.encode()) % 2]
        if (single != double and other_width) or any(map(listed.fullmatch, (name, name.partition("[")[0]))):
            item.add_marker("nightly")
    items.sort(key=lambda item: not item.nodeid.removeprefix("tests/").startswith(FIRST))


@pytest.fixture(scope="module", autouse=True)
def _survivors_are_searched_once() -> None:
    """Compiled programs stay for as long as the process; the collector need not walk through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _a_busy_machine_may_be_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests share their cores with each other; no test judges seconds, and none is to fail for them."""
    monkeypatch.setattr("qnewton._hardware.steady.MOST_DRIFT", float("inf"))
    monkeypatch.setattr("qnewton._hardware.steady.MOST_ERROR", float("inf"))


@pytest.fixture(autouse=True)
def _float_width_stays() -> Iterator[None]:
    """Fails a test that leaves the global float width changed, and sets it back for the tests after it."""
    before = jax.config.read("jax_enable_x64")
    yield
    after = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", before)
    assert after == before, "use `with jax.enable_x64(True):` or the `dtype` fixture"


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[jnp.dtype]:
    """The float type of a test that runs once in single and once in double precision."""
    with jax.enable_x64(request.param == "float64"):
        yield jnp.dtype(request.param)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium. Where there is none the test is skipped, or fails if `.ci/run` has installed one."""
    found = shutil.which("chromium")
    if found is None:
        (pytest.fail if "QNEWTON_NEEDS_CHROMIUM" in os.environ else pytest.skip)("no chromium on this machine")
    return found


@pytest.fixture
def opened(tmp_path: Path, chromium: str) -> Callable[[Path], list[dict[str, Any]]]:
    """`opened(page)`: opens it in Chromium, on a phone and a desk, light and dark, and fails where it cannot be read.

    Frames stand for the windows, of which Chromium's own are 500 pixels wide at the least. Contrast is that of
    luminances, hence what is left of it in black and white: 4.5 at least of text (WCAG 2.1, 1.4.3), and 3 within
    figures, where a label has the colour of its curve (1.4.11).
    """
    windows = [(width, dark) for width in (390, 1280) for dark in (False, True)]

    def read(page: Path) -> list[dict[str, Any]]:
        script = (Path(__file__).parent / "windows.js").read_text(encoding="utf-8")
        source = json.dumps(page.read_text(encoding="utf-8")).replace("</", "<\\/")
        framing = f"<!doctype html><body><script>{script}\nopenAll({source}, {json.dumps(windows)});</script></body>"
        framed = tmp_path / "framed.html"
        framed.write_text(framing, encoding="utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--enable-logging=stderr", "--dump-dom", framed.as_uri()]
        dumped = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "CONSOLE" not in dumped.stderr
        answer = re.search('<body data-found="([^"]*)"', dumped.stdout)
        assert answer is not None, "the page did not load"
        found = json.loads(html.unescape(answer[1]))
        assert [(window["width"], window["scheme"]) for window in found] == [
            (width, "dark" if dark else "light") for width, dark in windows
        ]
        for window in found:
            assert window["texts"] > 20
            assert window["paper"] < 0.05 if window["scheme"] == "dark" else window["paper"] > 0.8
            assert (window["beyond"], window["wide"], window["faint"]) == (0, [], []), window
        return found

    return read
