"""A task of the user's own: a function in a file, named as `my_task.py:task`. No imports of jax here."""

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..._core.suggest import unknown

_LOADED: dict[str, ModuleType] = {}


def is_own(name: str) -> bool:
    """Whether a name is that of a file and of what is in it."""
    return name.partition(":")[0].endswith(".py")


def located(name: str) -> str:
    """The name with the whole path, so that it holds wherever a command is started; another task's as it is."""
    file, colon, function = name.rpartition(":")
    return f"{Path(file).resolve()}:{function}" if is_own(name) and colon else name


def short(name: str) -> str:
    """The name as directories have it: that of the file, without folder and ending."""
    return Path(name.rpartition(":")[0]).stem if is_own(name) else name


def digest(name: str) -> str | None:
    """SHA-256 of the file of an own task; None of another task."""
    return hashlib.sha256(Path(located(name).rpartition(":")[0]).read_bytes()).hexdigest() if is_own(name) else None


def check_unchanged(path: Path, name: str, recorded: str | None) -> None:
    """Refuse to compute with another task than a run had.

    Args:
        path: of the run, for the message.
        name: of its task.
        recorded: digest of the file at that time; None of a task that is not in a file.

    Raises:
        ValueError: if the file is gone or holds something else.
    """
    if recorded is None:
        return
    file = Path(located(name).rpartition(":")[0])
    if not file.is_file():
        raise ValueError(f"{path}: its task was {name}, and that file is gone: bring it back")
    if digest(name) != recorded:
        raise ValueError(
            f"{path}: its task was {name}, and that file is not what it was (SHA-256 {recorded[:12]} then, "
            f"{str(digest(name))[:12]} now): bring it back as it was, or train anew"
        )


def load(name: str) -> Callable[[str], Any]:
    """The function that makes the task; what the file itself raises passes unchanged.

    Args:
        name: file and function, `my_task.py:task`.

    Raises:
        ValueError: for a file that is not there, and a name that is none of a function in it.
    """
    file, colon, function = located(name).rpartition(":")
    if not colon or not function:
        raise ValueError(
            f"the task {name} names a file and nothing in it: say which function makes the task, {name}:task"
        )
    if not Path(file).is_file():
        raise ValueError(f"the task {name}: there is no file {file}")
    module = _module(file)
    if not hasattr(module, function):
        own = (one for one, value in vars(module).items() if callable(value))
        there = [one for one in own if getattr(vars(module)[one], "__module__", None) == module.__name__]
        raise ValueError(f"{file}: {unknown('function', function, there)}")
    found = getattr(module, function)
    if not callable(found):
        raise ValueError(
            f"{located(name)} is {found!r}: it must be a function that takes the dtype, float32 or float64, and "
            "returns a qnewton.lab.Task"
        )
    return found


def raised_there(error: BaseException) -> bool:
    """Whether an exception passed through the file of an own task, so that its traceback is for the user."""
    return any(frame.f_code.co_filename in _LOADED for frame, _ in traceback.walk_tb(error.__traceback__))


def _module(file: str) -> ModuleType:
    """The file as a module, its folder being where it imports its neighbours from; run once in a process."""
    if file not in _LOADED:
        name = f"_qnewton_task_{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None, "the file ends in .py"
        assert spec.loader is not None, "likewise"
        # Dataclasses and pickles look modules up by name.
        sys.modules[name] = _LOADED[file] = module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(Path(file).parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(str(Path(file).parent))
    return _LOADED[file]
