"""Packages that an extra of qnewton brings: who lacks one is told which extra to install."""

import importlib
import re
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed; the message says which extra to install."""


def optional(module: str, extra: str, purpose: str) -> ModuleType:
    """A module of an extra, loaded where it is needed.

    Args:
        module: dotted name.
        extra: of qnewton, that brings it.
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
        raise MissingExtraError(_message(purpose, extra), name=package) from error


def require_extra(extra: str, whole: str) -> None:
    """Refuse to go on where a package of an extra is not installed.

    Which packages those are is read from the metadata of the installed qnewton, so that `pyproject.toml` alone says it.

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
    """Names of the distributions of an extra; none where qnewton runs from its source and is not installed."""
    try:
        requirements = distribution("qnewton").requires or []
    except PackageNotFoundError:
        return []
    marked = re.compile(rf"""\bextra\s*==\s*["']{re.escape(extra)}["']""")
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements if marked.search(requirement))
    return [name[0] for name in names if name]


def _message(purpose: str, extra: str) -> str:
    return f"{purpose}, which is not installed: pip install 'qnewton[{extra}]'"
