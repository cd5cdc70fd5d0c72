"""The tasks, made from their names."""

import dataclasses
import importlib

from ...._core.suggest import unknown
from .. import own_task
from ..options import TaskOptions
from ..task_options import TASKS, options_of
from .base import Task


def check_task(name: str) -> None:
    """Refuse a name that is neither registered nor that of a function in a file.

    Raises:
        ValueError: with the nearest valid name, or what is wrong with the file.
    """
    if own_task.is_own(name):
        own_task.load(name)
    elif name not in TASKS:
        raise ValueError(unknown("task", name, TASKS))


def make_task(name: str, dtype: str, options: TaskOptions | None = None) -> Task:
    """Build a task by name, its data in `dtype`.

    Args:
        name: in the registry, or of a function in a file.
        dtype: of parameters and data.
        options: of that task; None takes its defaults.

    Raises:
        ValueError: for an unknown name, with the nearest valid one, and for the options of another task.
        ValueError, OSError: for data that are not there or not what they should be.
    """
    check_task(name)
    if own_task.is_own(name):
        return _own(name, dtype)
    options = options_of(name, TaskOptions() if options is None else options)
    make = TASKS[name].make
    if isinstance(make, str):
        module, _, function = make.partition(":")
        make = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return make(dtype) if type(options) is TaskOptions else make(dtype, options)


def _own(name: str, dtype: str) -> Task:
    made = own_task.load(name)(dtype)
    if not isinstance(made, Task):
        raise ValueError(
            f"{own_task.located(name)} returned {made!r}: it must return a qnewton.lab.Task, whatever dtype it is given"
        )
    return dataclasses.replace(made, name=own_task.located(name))
