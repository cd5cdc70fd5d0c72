"""Packages of qnewton's extras, and the message that names the extra to install."""

import importlib
import re
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType


class MissingExtraError(ModuleNotFoundError):
    """Error for a missing package of an extra; the message names the extra to install."""


def optional(module: str, extra: str | None, purpose: str) -> ModuleType:
    """Import a module of an extra where it is needed.

    Args:
        module: dotted name.
        extra: of qnewton, that brings it; None: it is installed by its own name.
        purpose: what needs it and its name, for the message: `circuits need PennyLane`.

    Raises:
        MissingExtraError: if the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        message = f"{_missing(purpose)}: pip install {package}" if extra is None else _message(purpose, extra)
        raise MissingExtraError(message, name=package) from error


def require_extra(extra: str, whole: str) -> None:
    """Raise an error unless the packages of an extra are installed.

    The metadata of the installed qnewton lists these packages, so that `pyproject.toml` is their only source.

    Args:
        extra: of qnewton.
        whole: the part of qnewton that needs it, for the message.

    Raises:
        MissingExtraError: names the first package that is missing, and the extra.
    """
    for name in _packages_of(extra):
        try:
            distribution(name)
        except PackageNotFoundError as error:
            raise MissingExtraError(_message(f"{whole} needs {name}", extra), name=name) from error


def _packages_of(extra: str) -> list[str]:
    """Return the distributions of an extra; none if qnewton runs from source and is not installed."""
    try:
        requirements = distribution("qnewton").requires or []
    except PackageNotFoundError:
        return []
    marked = re.compile(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""")
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements if marked.search(requirement))
    return [name[0] for name in names if name]


def _message(purpose: str, extra: str) -> str:
    return f"{_missing(purpose)}: pip install 'qnewton[{extra}]'"


def _missing(purpose: str) -> str:
    return f"{purpose}, which is not installed"
