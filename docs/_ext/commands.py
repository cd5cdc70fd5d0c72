"""The page of the command line, from the dataclasses that the commands themselves are parsed with."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tyro
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from qnewton.lab._cli.help import texts
from qnewton.lab._cli.main import COMMANDS
from qnewton.lab._experiments.parts import catalogue, signature
from qnewton.lab._experiments.task_options import TASKS

_WORDS: dict[Any, str] = {int: "INT", float: "FLOAT", str: "TEXT", Path: "PATH"}


class _Asked(Exception):
    """What a command was about to parse its arguments with."""


def parsed_with(name: str) -> tuple[type, Any]:
    """The dataclass of a command, and the instance that its defaults are those of, if there is one."""

    def tell(kind: type, *, default: Any = None, **_: Any) -> None:
        raise _Asked(kind, default)

    real, tyro.cli = tyro.cli, tell
    try:
        COMMANDS[name]([])
    except _Asked as asked:
        kind, default = asked.args
        return kind, default
    finally:
        tyro.cli = real
    raise AssertionError(f"qnewton {name} parsed nothing")


def command(name: str) -> Iterator[str]:
    """One command in Markdown."""
    kind, default = parsed_with(name)
    places = list(_places(kind))
    yield from (f"({name})=", f"## `qnewton {' '.join([name, *places])}`", "", *_text(kind), "")
    yield from _options(kind, default)
    if name == "train":
        for task, options in ((task, one.options) for task, one in TASKS.items()):
            yield from (f"### Of the task `{task}`", "", *_options(options, options()))


def _places(kind: Any) -> Iterator[str]:
    for field, hint in _fields(kind):
        if _is_place(hint):
            yield _place(field, hint)
        elif dataclasses.is_dataclass(bare := _bare(hint)):
            yield from _places(bare)


def _options(kind: type, default: Any, prefix: str = "") -> Iterator[str]:
    """The options themselves, then those of each group."""
    groups = []
    helps = _helps(kind)
    for field, hint in _fields(kind):
        value = _value(field, default)
        bare = _bare(hint)
        if dataclasses.is_dataclass(bare):
            groups.append((_group(prefix, field, hint, kind), bare, value))
            continue
        yield _head(field, hint, value, prefix)
        yield from (f": {helps[field.name]}", "")
    for inner, group, value in groups:
        if group.__name__ == "TaskOptions":
            continue
        if group.__name__ not in ("TrainOptions", "ImageOptions", "TextOptions"):
            yield from (f"### {_text(group)[0].partition('.')[0]}", "")
        yield from _options(group, value, inner)


def _group(prefix: str, field: dataclasses.Field, hint: Any, kind: type) -> str:
    """What stands before the names of a group's options: of `reproduce` the group's own name."""
    nameless = any(getattr(one, "name", None) == "" for one in getattr(hint, "__metadata__", ()))
    return f"{prefix}{field.name.replace('_', '-')}." if kind.__name__ == "Reproduction" and not nameless else prefix


def _head(field: dataclasses.Field, hint: Any, value: Any, prefix: str) -> str:
    if _is_place(hint):
        return f"`{_place(field, hint)}`"
    name = prefix + field.name.replace("_", "-")
    bare = _bare(hint)
    if bare is bool:
        return f"`--{name}`, `--{prefix}no-{field.name.replace('_', '-')}` ({'on' if value else 'off'})"
    metavar = next((one.metavar for one in getattr(hint, "__metadata__", ()) if getattr(one, "metavar", None)), None)
    words = f"`--{name} {metavar or _type(bare)}`"
    return words if value in (None, (), dataclasses.MISSING) else f"{words} ({_shown(value)})"


def _shown(value: Any) -> str:
    return "`" + " ".join(str(one) for one in (value if isinstance(value, tuple) else (value,))) + "`"


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin in (typing.Union, types.UnionType):
        return "|".join(_type(one) for one in arguments if one is not type(None))
    if origin is tuple:
        return f"{_type(arguments[0])} ..."
    return _WORDS[hint] if hint in _WORDS else hint.__name__.upper()


def _fields(kind: type) -> list[tuple[dataclasses.Field, Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind)]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _is_place(hint: Any) -> bool:
    """Whether it is an argument by its place, and not by its name."""
    return "Positional" in repr(getattr(hint, "__metadata__", ()))


def _place(field: dataclasses.Field, hint: Any) -> str:
    said = [getattr(one, "metavar", None) for one in getattr(hint, "__metadata__", ())]
    return next((str(one) for one in said if one), field.name.upper())


def _value(field: dataclasses.Field, default: Any) -> Any:
    if default is not None and default is not tyro.MISSING:
        return getattr(default, field.name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _helps(kind: type) -> dict[str, str]:
    """The docstring under each field, as `--help` has it."""
    return {name: _marked(text) for name, text in texts(kind).items()}


def _text(kind: type) -> list[str]:
    return _marked(inspect.getdoc(kind) or "").splitlines()


def _marked(text: str) -> str:
    """With the options that it names as code."""
    return re.sub(r"`[^`]*`|--[a-z][\w-]*", lambda match: match[0] if match[0][0] == "`" else f"`{match[0]}`", text)


def parts(kind: str) -> Iterator[str]:
    """The words of a kind of part in Markdown."""
    yield from (f"### {kind}", "")
    for word, about in catalogue()[kind].items():
        yield from (f"`{signature(word, about)}`", f": {about['summary']}")
        for name, parameter in about["parameters"].items():
            yield f"  `{name}`: {parameter['meaning']}"
        yield ""


class Commands(SphinxDirective):
    """`{commands}`: all of them."""

    def run(self) -> list[nodes.Node]:
        """The parsed Markdown."""
        lines = [line for name in COMMANDS for line in command(name)]
        lines += ["## Words of options", "", *(line for kind in catalogue() for line in parts(kind))]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
