"""Programs that run as processes of their own: how many devices there are must be set before jax starts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(scope="session")
def printed() -> Callable[..., dict[str, Any]]:
    """What a program with some arguments prints as its last line of JSON; run once."""

    @cache
    def run(program: str, *arguments: str) -> dict[str, Any]:
        given = {**os.environ, "JAX_PLATFORMS": "cpu", **dict.fromkeys(ALONE, "1")}
        command = [sys.executable, str(HERE / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=given)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
