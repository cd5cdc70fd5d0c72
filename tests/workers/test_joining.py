"""What is said of a cluster that cannot be joined."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

import qnewton as q
from qnewton._workers.host import apart
from qnewton._workers.joining import check_address, refused
from qnewton.lab._cli.main import main
from qnewton.lab._experiments.build import make_hybrid, make_workers
from qnewton.lab._experiments.checks import check
from qnewton.lab._experiments.options import WorkerOptions
from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._runfile import RunDirectory, WorkerRecord


@pytest.mark.parametrize("address", ["10.0.0.1", "10.0.0.1:", ":6379", "head:port"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(ValueError, match="it is HOST:PORT of Ray's head node"):
        check_address(address)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ValueError, match=f"no Ray cluster answers at 127.0.0.1:{port}.*ray start --head"):
        check_address(f"127.0.0.1:{port}")


def test_a_wrong_token_and_another_version_have_their_sentences() -> None:
    token = refused("head:6379", RuntimeError("Unauthenticated: invalid auth token"))
    assert "does not take the token" in token
    assert "RAY_AUTH_TOKEN" in token
    silent = refused("head:6379", ConnectionError("Failed to connect to Ray cluster at head:6379"))
    assert "does not let this process in" in silent
    assert "RAY_AUTH_TOKEN" in silent
    versions = refused("head:6379", RuntimeError("Version mismatch: The cluster was started with Ray: 2.59.0"))
    assert "2.59.0" in versions
    own = {"python": "3.11.7", "ray": "2.60.0", "jax": "0.10.2"}
    assert apart("qpu 0", own, own) == ""
    said = apart("qpu 0", own, own | {"jax": "0.10.1"})
    assert "jax 0.10.2 here and 0.10.1 there" in said
    assert "ray" not in said.replace("driver", "")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--worker-cpus", "2"], "nobody else solves blocks: add --workers ray"),
        (["--stale", "1"], "nobody else solves blocks: add --workers ray"),
        (["--workers", "ray", "--policy", "makespan(quantum_workers=2)"], "describes workers that are not there"),
        (["--workers", "ray", "--worker-qpus", "1", "--solvers", "lu"], "names no quantum solver"),
        (["--workers", "ray", "--preset", "kfac"], "--workers is ray, and"),
    ],
)
def test_options_that_exclude_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: object, arguments: list[str], part: str
) -> None:
    preset = [] if "--preset" in arguments else ["--preset", "blocks"]
    status = main(["train", "digits-mlp", "--out", f"{tmp_path}/run", *preset, *arguments])
    assert status == 2
    assert part in capsys.readouterr().err


def test_options_by_themselves() -> None:
    for wrong in ("slurm", "ray:head", "ray:"):
        with pytest.raises(ValueError, match="it is ray for workers of this machine, or ray:HOST:PORT"):
            WorkerOptions(workers=wrong)
    options = PRESETS["blocks"]
    crew, training = WorkerOptions(workers="ray"), replace(options.training, processes=2)
    with pytest.raises(ValueError, match="one driver forms the blocks"):
        check(replace(options, crew=crew, training=training))


def test_a_second_driver_is_refused_the_directory_before_workers_are_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.create(tmp_path / "run", "digits")
    monkeypatch.setattr(q.Workers, "__init__", lambda *_, **__: pytest.fail("workers were started"))
    status = main(["train", "digits-mlp", "--preset", "blocks", "--workers", "ray", "--out", str(directory.path)])
    assert status == 2
    assert "run" in capsys.readouterr().err


def test_numbers_out_of_range() -> None:
    for wrong in ({"cpus": -1}, {"stale": -1}, {"patience": 0.5}, {"quantile": 1.0}, {"grace_s": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            q.Workers(**wrong)  # type: ignore[arg-type]


def test_makespan_counts_on_the_workers_that_were_hired() -> None:
    hybrid = make_hybrid(replace(PRESETS["blocks"].scheduling, solvers=("lu", "qlsa"), policy="makespan"))
    hired = (
        WorkerRecord("cpu 0", "here", False, 1e-3, 2.0, 0.0, 0.25),
        WorkerRecord("qpu at x", "there", True, None, 1.0, 9.0, 0.5),
    )
    workers = make_workers(hybrid, hired)
    assert workers is not None
    classical, quantum = workers.at(7)
    assert (classical.name, classical.solvers, classical.slowness, classical.transfer_s) == (
        "cpu 0",
        ("LU",),
        2.0,
        0.25,
    )
    assert (quantum.name, quantum.solvers, quantum.queue_s) == ("qpu at x", hybrid.names[1:], 9.0)
