"""Two processes of one program, on the CPU."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parent / "two_processes.py"


def together(*what: str) -> tuple[list[list[dict[str, Any]]], list[subprocess.Popen[str]], list[str]]:
    """Lines of both processes, the processes after their end, and what they wrote as errors."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    given = {**os.environ, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(k), str(port), *what],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=given,
        )
        for k in range(2)
    ]
    try:
        ends = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    lines = [[json.loads(line) for line in out.splitlines() if line.startswith("{")] for out, _ in ends]
    return lines, started, [errors for _, errors in ends]


def check_trainings(*names: str) -> list[dict[str, Any]]:
    lines, started, errors = together(*names)
    assert [process.returncode for process in started] == [0, 0], errors
    for of_process in lines:
        assert [line["what"] for line in of_process] == list(names)
        for line in of_process:
            assert line["losses"] < 1e-5, line
            assert line["falls"], line
    return [line for of_process in lines for line in of_process]


def test_trainings_calibrations_and_optimizers_that_differ() -> None:
    lines, started, errors = together("first", "link", "kfac", "calibrations", "unlike")
    assert [process.returncode for process in started] == [0, 0], errors
    assert lines[0][0]["failed"] == "OSError: nothing to read"
    assert lines[1][0]["failed"] == "RuntimeError: process 0 failed at a failure: nothing to read"
    # One link, whoever measured it.
    assert lines[0][1] == lines[1][1]
    assert lines[0][1]["call"] > 0
    for first, _, training, calibrated, refused in lines:
        assert first["made"] == 10
        assert first["copied"]
        assert training["losses"] < 1e-5
        assert set(training["owners"]) == {0, 1}
        # To process 0 Cholesky is a million times slower, to process 1 LU.
        assert calibrated["choice"] == calibrated["kernels"].index("lu")
        assert calibrated["losses"] == lines[0][3]["losses"]
        assert "process 1 has made another optimizer than process 0" in refused["error"]
        assert "Cholesky" in refused["error"]
        assert refused["seconds"] < 60


def test_all_trainings() -> None:
    check_trainings("newton", "hybrid", "cg", "cholesky", "rule", "clip", "kept", "recipe")


def test_all_trainings_whose_systems_have_owners() -> None:
    for line in check_trainings("tensors", "dual", "fisher"):
        assert set(line["owners"]) == {0, 1}, line


def test_when_a_process_dies_the_other_ends_with_an_error() -> None:
    began = time.monotonic()
    lines, started, errors = together("killed")
    assert [line["what"] for line in lines[0]] == ["stepped"]
    assert started[1].returncode == 9
    assert started[0].returncode not in (0, None)
    assert time.monotonic() - began < 60 + 30  # what it took to start, besides
    assert "died" in errors[0] or "Gloo" in errors[0] or "heartbeat" in errors[0]
