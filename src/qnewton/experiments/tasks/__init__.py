"""The registry of tasks: name to a function that builds the task."""

from collections.abc import Callable

from ...core.suggest import unknown
from .base import Task
from .digits import digits_mlp

TASKS: dict[str, Callable[[str], Task]] = {"digits-mlp": digits_mlp}


def check_task(name: str) -> None:
    """Refuse a name that is not registered.

    Raises:
        ValueError: with the nearest valid name.
    """
    if name not in TASKS:
        raise ValueError(unknown("task", name, TASKS))


def make_task(name: str, dtype: str) -> Task:
    """Build a task by name, its data in `dtype`.

    Raises:
        ValueError: for an unknown name, with the nearest valid one.
    """
    check_task(name)
    return TASKS[name](dtype)
