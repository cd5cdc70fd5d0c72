"""`qnewton train --processes N`: the processes end together, and what is refused."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qnewton.lab._cli import launch as launching
from qnewton.lab._cli import train
from qnewton.lab._experiments.cluster import HEARTBEAT_SECONDS, Place, place

# What a process does, given its number; all of them write down that they have begun.
BEGINS = """
import os, pathlib, signal, sys, time
me = int(os.environ["QNEWTON_PROCESS"])
pathlib.Path(f"begun-{me}").write_text(os.environ["QNEWTON_COORDINATOR"])
"""
SLEEPS = "time.sleep(60)"


@pytest.fixture
def launch(tmp_path, monkeypatch, capfd):
    """`launch(program)`: the status of two processes of it, what they said on standard error, and the seconds."""
    monkeypatch.chdir(tmp_path)

    def run(program: str) -> tuple[int, str, float]:
        monkeypatch.setattr(launching, "COMMAND", (sys.executable, "-c", BEGINS + program))
        began = time.monotonic()
        status = launching.launch(["digits-mlp"], 2)
        return status, capfd.readouterr().err, time.monotonic() - began

    return run


def test_all_are_done_when_each_is(launch, tmp_path):
    status, said, _ = launch("print(me, sys.argv[1:], os.environ['JAX_PLATFORMS'], file=sys.stderr)")
    assert (status, said) == (0, "0 ['digits-mlp'] cpu\n"), "of the second process only errors are shown"
    addresses = {(tmp_path / f"begun-{k}").read_text() for k in range(2)}
    assert len(addresses) == 1
    assert addresses.pop().startswith("127.0.0.1:")


@pytest.mark.parametrize("which", [0, 1])
def test_one_that_is_killed_ends_the_others(which, launch):
    status, said, seconds = launch(f"os.kill(os.getpid(), signal.SIGKILL) if me == {which} else {SLEEPS}")
    assert status == 128 + signal.SIGKILL
    assert said == f"qnewton: process {which} was ended by SIGKILL, and the others with it\n"
    assert seconds < 60


def test_what_the_one_that_failed_says_arrives(launch):
    status, said, _ = launch(f"sys.exit('no data') if me else {SLEEPS}")
    assert (status, said) == (1, "process 1: no data\n")
    # What all say is said once; what follows from another's failure is not said at all.
    alike = "print('bad input', file=sys.stderr); sys.exit(2)"
    assert launch(alike)[:2] == (2, "bad input\n")
    status, said, _ = launch("if me: time.sleep(0.5); sys.exit('process 0 is gone')\nsys.exit('a full disk')")
    assert (status, said) == (1, "a full disk\n")


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_all(which, launch, tmp_path):
    # Each ends as the lab does, with 130, and says which signal it was.
    ends = "\ndef end(n, _):\n    pathlib.Path(f'ended-{me}').write_text(str(n))\n    sys.exit(130)\n"
    ready = "signal.signal(signal.SIGINT, end); signal.signal(signal.SIGTERM, end); pathlib.Path(f'ready-{me}').touch()"

    def press() -> None:
        while not all((tmp_path / f"ready-{k}").exists() for k in range(2)):
            time.sleep(0.01)
        os.kill(os.getpid(), which)

    threading.Thread(target=press, daemon=True).start()
    status, _, seconds = launch(f"{ends}{ready}\n{SLEEPS}")
    assert status == 130
    assert seconds < 60
    assert [(tmp_path / f"ended-{k}").read_text() for k in range(2)] == [str(int(which))] * 2


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
OURS = {"QNEWTON_COORDINATOR": "train-0.train:1234", "QNEWTON_PROCESSES": "4", "QNEWTON_PROCESS": "2"}


def test_the_environment_says_which_process_this_is():
    assert place({}) is None
    assert place(SLURM) == Place(3, 4, None)
    assert place(OURS) == Place(2, 4, "train-0.train:1234")
    assert place({**SLURM, **OURS}) == Place(2, 4, "train-0.train:1234"), "what is said to us comes first"
    # A shell inside of an allocation is no process of a step, and one task is one alone.
    assert place({name: value for name, value in SLURM.items() if name != "SLURM_STEP_NODELIST"}) is None
    assert place({**SLURM, "SLURM_NTASKS": "1"}) is None
    assert place({**OURS, "QNEWTON_PROCESSES": "1", "QNEWTON_PROCESS": "0"}) is None
    for wrong in ({"QNEWTON_PROCESS": "two"}, {"QNEWTON_PROCESS": "4"}):
        with pytest.raises(ValueError, match="QNEWTON_PROCESS"):
            place({**OURS, **wrong})
    with pytest.raises(ValueError, match=r"QNEWTON_COORDINATOR \(address:port\), QNEWTON_PROCESSES"):
        place({"QNEWTON_PROCESS": "0"})
    assert HEARTBEAT_SECONDS < 60


REFUSED: dict[str, tuple[list[str], str]] = {
    "no number of processes": (["--processes", "0"], "--processes is 0: it must be at least 1"),
    "timed solves": (["--processes", "2", "--time-solves", "3"], "solves are timed by one process alone: omit it"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_work_is_refused_before_a_process_starts(arguments, words, call, tmp_path, monkeypatch):
    monkeypatch.setattr(launching.subprocess, "Popen", lambda *of, **more: pytest.fail("started"))
    outcome = call("train", "tiny", "--preset", "blocks", *arguments)
    assert outcome.status == 2
    assert words in outcome.said
    assert not list(tmp_path.iterdir())


def test_a_run_does_not_go_on_by_another_number_of_processes():
    begun = replace(train.parse(["digits-mlp"]), resume=Path("run"))
    assert train._of_all(begun, None) is begun
    with pytest.raises(ValueError, match=r"--resume run: the run was begun by 1 process, and this is one of 3: .*anew"):
        train._of_all(begun, Place(0, 3, None))
    options = replace(begun.options, training=replace(begun.options.training, processes=2))
    begun = replace(begun, options=options)
    assert train._of_all(begun, Place(0, 2, None)) is begun
    with pytest.raises(ValueError, match=r"begun by 2 processes, and this is one of 3: .*Start 2, or train anew"):
        train._of_all(begun, Place(0, 3, None))


def test_a_cluster_decides_how_many_there_are():
    fresh = train.parse(["digits-mlp"])
    assert train._of_all(fresh, Place(1, 4, None)).options.training.processes == 4
    with pytest.raises(ValueError, match="--processes is 2, and this is one of 4 that were started: omit the option"):
        train._of_all(train.parse(["digits-mlp", "--processes", "2"]), Place(1, 4, None))
