"""Ray, where it is installed."""

import importlib.util
import os

import pytest


@pytest.fixture(scope="session")
def ray_installed() -> None:
    """Skips the test where Ray is not installed, or fails it in `.ci/run`, which installs it."""
    if importlib.util.find_spec("ray") is None:
        (pytest.fail if "QNEWTON_NEEDS_RAY" in os.environ else pytest.skip)("ray is not installed: qnewton[cluster]")
