"""Writes docs/run-files.md: what stands in run-files.md.in, and a table for each record of `qnewton.lab._runfile`.

    python docs/make_run_files.py

A line `<<Name>>` of the template becomes the table of that record and of those inside it, `<<options>>` that of the
options of a training. Meanings stand in the docstrings of the records.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import qnewton.lab._runfile as runfile
from qnewton.lab._experiments.options import TrainOptions
from qnewton.lab._experiments.task_options import TASKS
from qnewton.lab._runfile.mismatch import words

HERE = Path(__file__).parent
TEMPLATE, PAGE = HERE / "run-files.md.in", HERE / "run-files.md"


def page() -> str:
    """The whole page."""
    shown: set[str] = set()
    parts = re.split(r"^<<(\w+)>>$", TEMPLATE.read_text("utf-8"), flags=re.MULTILINE)
    for place in range(1, len(parts), 2):
        parts[place] = "\n".join(_options() if parts[place] == "options" else _record(parts[place], shown))
    return "".join(parts)


def _record(name: str, shown: set[str]) -> Iterator[str]:
    """The table of a record, and those of the records inside it that have none above."""
    kind = getattr(runfile, name)
    shown.add(name)
    meanings = _meanings(kind)
    fields = _fields(kind)
    assert set(meanings) == {field.name for field in fields}, f"the docstring of {name} tells of other fields"
    yield from ("| field | type | meaning |", "|---|---|---|")
    # Fields that share a meaning share a row.
    rows: dict[tuple[str, str], list[str]] = {}
    for field in fields:
        rows.setdefault((_type(field.type), meanings[field.name]), []).append(f"`{field.name}`")
    for (type_, meaning), names in rows.items():
        yield f"| {', '.join(names)} | {type_} | {meaning} |"
    for field in fields:
        for inner in _inside(field.type):
            if inner.__name__ not in shown:
                summary = (inspect.getdoc(inner) or "").splitlines()[0]
                yield from ("", f"`{field.name}`: {_lower(summary)}", "")
                yield from _record(inner.__name__, shown)


def _fields(kind: type) -> tuple[msgspec.inspect.Field, ...]:
    found = msgspec.inspect.type_info(kind)
    assert isinstance(found, msgspec.inspect.StructType), kind
    return found.fields


def _meanings(kind: type) -> dict[str, str]:
    """Field to meaning, of the section `Attributes` of a docstring."""
    section = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    found = {}
    for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE):
        for name in names.split(", "):
            found[name] = " ".join(text.split()).removesuffix(".")
    return found


def _type(kind: Any) -> str:
    return words(kind).replace("|", "\\|").replace("'", "`")


def _inside(kind: Any) -> Iterator[type]:
    """The records in a type."""
    match kind:
        case msgspec.inspect.StructType(cls=cls):
            yield cls
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from _inside(one)
        case msgspec.inspect.DictType(value_type=one) | msgspec.inspect.VarTupleType(item_type=one):
            yield from _inside(one)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _options() -> Iterator[str]:
    """The options of a training, by the group that they stand in."""
    groups: dict[str, list[str]] = {}
    taken = [TrainOptions(), *(TrainOptions(task=one.options()) for one in TASKS.values())]
    for place, name in (one for options in taken for one in _named(options)):
        own = groups.setdefault(place, [])
        if f"`--{name}`" not in own:
            own.append(f"`--{name}`")
    yield from ("| group | options |", "|---|---|")
    for place, names in groups.items():
        yield f"| {f'`{place}`' if place else ''} | {', '.join(names)} |"


def _named(group: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from _named(value, (*place, field.name))
        else:
            yield ".".join(place), field.name.replace("_", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
