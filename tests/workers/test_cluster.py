"""A cluster that asks for a token: a quantum worker joins it, a training uses it, another token gets a sentence."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import qnewton as qn
from qnewton._workers import ray_engine

START_S = 240


def environment(token: str) -> dict[str, str]:
    return os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_USAGE_STATS_ENABLED": "0"}


@dataclass
class Cluster:
    """Its head's address, and the environment of those who have its token."""

    address: str
    environment: dict[str, str]


def ended(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(timeout=60)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, ray_installed: None) -> Iterator[Cluster]:
    # Above the ports that Ray gives to its workers.
    port, mine = 20000 + os.getpid() % 10000, environment(secrets.token_hex(16))
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(port)]
    head += ["--num-cpus", "1", "--include-dashboard", "false", "--object-store-memory", str(80 * 2**20)]
    head += ["--temp-dir", str(tmp_path_factory.mktemp("ray"))]
    process = subprocess.Popen(head, env=mine, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.5)
    assert process.poll() is None, "the head node ended"
    yield Cluster(f"127.0.0.1:{port}", mine)
    ended(process)


def train(out: Path, address: str, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qnewton", "train", "digits-mlp", "--preset", "blocks", "--out", str(out)]
    command += ["--width", "2", "--depth", "1", "--partition", "per-layer", "--largest", "40", "--adaptation", "fixed"]
    command += ["--batch-size", "32", "--steps", "2", "--solvers", "cholesky", "qlsa(precision=0.1)"]
    command += ["--policy", "kappa-threshold(1e9)", "--gate-time-s", "1e-18"]
    command += ["--workers", f"ray:{address}", "--worker-cpus", "1"]
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize("carried", [("--emulated",), ("--device", "default.qubit")])
def test_a_quantum_worker_serves_a_training(cluster: Cluster, tmp_path: Path, carried: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "qnewton", "worker", "--qpu", "superconducting", "--address", cluster.address]
    worker = subprocess.Popen([*command, *carried], env=cluster.environment, stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        assert "Ctrl-C ends it" in worker.stdout.readline()
        done = train(tmp_path / "run", cluster.address, cluster.environment)
        assert done.returncode == 0, done.stderr
    finally:
        assert ended(worker) == 0
        worker.communicate()
    for line in (tmp_path / "run" / "steps.jsonl").read_text().splitlines():
        (attempt,) = json.loads(line)["attempts"]
        assert attempt["worker"].startswith("qpu at superconducting on ")
        assert attempt["outcome"] == "solved"
        # That of circuits with a precision of a tenth, not of a classical stand-in.
        assert 1e-5 < attempt["residual"] < 0.1


def test_another_token_gets_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    done = train(tmp_path / "run", cluster.address, environment(secrets.token_hex(16)))
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert f"{cluster.address} does not" in said
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to" in said
    assert "Traceback" not in done.stderr


def test_a_worker_of_other_versions_is_refused(ray_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ray_engine.versions()
    monkeypatch.setattr(ray_engine, "versions", lambda: own | {"jax": "0.0.1"})
    with pytest.raises(ValueError, match=rf"worker cpu 0 has other versions.*jax 0\.0\.1 here and {own['jax']} there"):
        qn.Workers(cpus=1)
