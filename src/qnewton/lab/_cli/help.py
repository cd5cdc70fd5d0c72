"""Help of a command with many options: a line each, and each group in full where it is named."""

import ast
import dataclasses
import functools
import inspect
import itertools
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

HELP = frozenset({"-h", "--help"})
ALL = "all"
_FULL_STOP = re.compile(r"(?<!e\.g)\.\s")


def show_help(prog: str, about: str, arguments: Sequence[str], options: Any, *, prefixed: bool = False) -> bool:
    """Print help, unless that of everything is asked for, which the parser prints.

    Args:
        prog: command, e.g. `qnewton train`.
        about: what it does.
        arguments: of the command, one of `HELP` among them.
        options: with the values that are shown.
        prefixed: whether the options of a group have its name before theirs.

    Returns:
        Whether something was printed.
    """
    place = next(k for k, argument in enumerate(arguments) if argument in HELP)
    after = arguments[place + 1] if place + 1 < len(arguments) else ""
    groups = _groups(options)
    if after == ALL:
        return False
    if after in groups:
        value = groups[after]
        only = dataclasses.make_dataclass("Only", [(after.replace("-", "_"), type(value), value)], frozen=True)
        config = () if prefixed else (tyro.conf.OmitArgPrefixes,)
        tyro.cli(only, prog=prog, description=inspect.getdoc(type(value)), args=["--help"], config=config)
    print("\n".join(_overview(prog, about, options, groups, prefixed=prefixed)))
    return True


def _groups(options: Any) -> dict[str, Any]:
    values = {field.name.replace("_", "-"): getattr(options, field.name) for field in dataclasses.fields(options)}
    return {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}


def _overview(prog: str, about: str, options: Any, groups: dict[str, Any], *, prefixed: bool) -> Iterator[str]:
    width = min(shutil.get_terminal_size((100, 0)).columns, 120)
    yield f"usage: {prog} [options]"
    yield from textwrap.wrap(about, width)
    yield from textwrap.wrap(
        f"`{prog} --help GROUP` explains the options of a group, `{prog} --help {ALL}` those of all.", width
    )
    yield from (line for field in dataclasses.fields(options) for line in _line(options, field, "", width))
    for name, group in groups.items():
        rows = list(_lines(group, f"{name}." if prefixed else "", width))
        if rows:
            about = (inspect.getdoc(type(group)) or "").split(". ")[0]
            yield textwrap.shorten(f"{name}: {about}", width, placeholder=" ...")
            yield from rows


def _lines(group: Any, prefix: str, width: int) -> Iterator[str]:
    """Yield the lines of a group, and of the groups inside it."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _lines(value, prefix, width)
        else:
            yield from _line(group, field, prefix, width)


def _line(group: Any, field: dataclasses.Field, prefix: str, width: int) -> Iterator[str]:
    """An option with its value and the beginning of its explanation; none of a group."""
    value = getattr(group, field.name)
    if not dataclasses.is_dataclass(value):
        either = "[no-]" if isinstance(value, bool) else ""
        head = f"  --{either}{prefix}{field.name.replace('_', '-')} {_shown(value)}".rstrip()
        text = _FULL_STOP.split(texts(type(group)).get(field.name, ""))[0]
        aside = width - max(len(head), 34) - 2
        if aside >= 12:
            yield f"{head:<34}  {textwrap.shorten(text, aside, placeholder=' ...')}"
        else:
            yield from textwrap.wrap(head, width, subsequent_indent="      ", break_on_hyphens=False)
            yield f"      {textwrap.shorten(text, max(width - 6, 12), placeholder=' ...')}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


@functools.cache
def texts(kind: type) -> dict[str, str]:
    """Field of a dataclass to the text under it."""
    found = {}
    for one in reversed(kind.__mro__[:-1]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(node, ast.ClassDef)
        for field, text in itertools.pairwise(node.body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found
