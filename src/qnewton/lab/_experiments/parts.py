"""Words, and the objects that they stand for: the library's classes as options name them.

A part is a word, or a word with parameters: `lu`, `cg(rtol=1e-5, preconditioner=kfac)`, `kappa-threshold(1e3)`. What
there is stands in `catalogue.json`, which docs/make_options.py writes from the classes. No imports of jax until `make`:
parsing must be quick.
"""

import ast
import functools
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._core.suggest import unknown

# Of a word, which Python's grammar takes with underscores; what stands in quotes is left alone.
_HYPHEN = re.compile(r"""('[^']*'|"[^"]*")|(?<=[A-Za-z0-9])-(?=[A-Za-z])""")
_PLAIN = re.compile(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*")
_FORM = "give a word, or a word with its parameters, e.g. cg(rtol=1e-5, preconditioner=kfac)"
# Where a word alone does not stand for the class's own default: of blocks, rounding may make one indefinite.
_USUAL: dict[tuple[str, str], dict[str, Any]] = {("solver", "cholesky"): {"fallback": True}}


@dataclass(frozen=True)
class Part:
    """An object of the library in words.

    Attributes:
        kind: of object, e.g. `solver`.
        word: its class.
        given: the parameters that were given: numbers, strings, None, other parts, or tuples of these.
    """

    kind: str
    word: str
    given: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={_written(value)}" for name, value in self.given)
        return f"{self.word}({inside})" if inside else self.word

    def make(self, option: str) -> Any:
        """The object.

        Args:
            option: that names it, for messages.

        Raises:
            ValueError: for parameters that its class refuses, in its words.
        """
        module, _, name = catalogue()[self.kind][self.word]["class"].partition(":")
        stands_for = getattr(importlib.import_module(module), name)
        if not isinstance(stands_for, type):
            return stands_for
        found = {key: _made(value, option) for key, value in self.given}
        try:
            return stands_for(**_USUAL.get((self.kind, self.word), {}) | found)
        except (ValueError, TypeError) as error:
            raise ValueError(f"--{option} {self}: {error}") from error


@functools.cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Kind to word to class, summary and parameters."""
    return {kind: words for kind, words in _written_down().items() if kind != "names"}


def names_of(what: str) -> tuple[str, ...]:
    """Names of what an option takes that is no part: `hardware` and `assumptions`."""
    return tuple(_written_down()["names"][what])


@functools.cache
def _written_down() -> dict[str, dict[str, Any]]:
    return json.loads(Path(__file__).with_name("catalogue.json").read_text("utf-8"))


@functools.cache
def part(kind: str, text: str, option: str) -> Part:
    """Return the part that a text names.

    Args:
        kind: of object.
        text: a word, or a word with parameters.
        option: that it is the value of, for messages.

    Raises:
        ValueError: for a text of another form, a word or a parameter that does not exist, with the nearest one, and a
            parameter that is missing.
    """
    try:
        found = ast.parse(_HYPHEN.sub(lambda found: found[1] or "_", text.strip()), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"--{option} is {text!r}: {_FORM}") from error
    return _part(kind, found, option)


def make(kind: str, text: str, option: str) -> Any:
    """The object that a text stands for; as `part` and `Part.make`."""
    return part(kind, text, option).make(option)


def number_of(found: Part, parameter: str) -> float | None:
    """Return a number that a part has, or the first part inside it that has one; None without any."""
    about = catalogue()[found.kind][found.word]["parameters"].get(parameter)
    if about is not None:
        return float(dict(found.given).get(parameter, about["default"]))
    inside = (number_of(one, parameter) for _, one in found.given if isinstance(one, Part))
    return next((one for one in inside if one is not None), None)


def signature(word: str, about: dict[str, Any]) -> str:
    """A word with the parameters that it takes, and their defaults."""
    inside = (
        name if one["default"] is None else f"{name}={one['default']}" for name, one in about["parameters"].items()
    )
    return f"{word}({', '.join(inside)})" if about["parameters"] else word


def described(kind: str) -> Iterator[str]:
    """Lines that explain every word of a kind."""
    for word, about in catalogue()[kind].items():
        yield f"{signature(word, about)}: {about['summary']}"
        for name, parameter in about["parameters"].items():
            yield f"    {name}: {parameter['meaning']}"


def _part(kind: str, node: ast.expr, option: str) -> Part:
    called = node.func if isinstance(node, ast.Call) else node
    if not isinstance(called, ast.Name):
        raise ValueError(f"--{option} is {_shown(node)!r}: {_FORM}")
    word = called.id.replace("_", "-")
    if word not in catalogue()[kind]:
        raise ValueError(f"--{option}: {unknown(kind, word, catalogue()[kind])}")
    parameters = catalogue()[kind][word]["parameters"]
    given: list[tuple[str | None, ast.expr]] = []
    if isinstance(node, ast.Call):
        given += [*zip(parameters, node.args, strict=False), *((one.arg, one.value) for one in node.keywords)]
        if len(node.args) > len(parameters):
            raise ValueError(f"--{option}: {word} takes {len(parameters)} parameters, and got {len(node.args)}")
    found = {}
    for name, value in given:
        if name not in parameters:
            raise ValueError(f"--{option} {word}: {unknown('parameter', str(name), parameters)}")
        found[name] = _value(parameters[name]["kind"], value, f"{option} {word}, {name}")
    for name, about in parameters.items():
        if about["default"] is None and name not in found:
            raise ValueError(f"--{option} {word} needs {name}, as {word}({name}=...): {about['meaning']}")
    return Part(kind, word, tuple(found.items()))


def _value(kind: str, node: ast.expr, option: str) -> Any:
    if kind.endswith("*"):
        several = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
        return tuple(_value(kind[:-1], one, option) for one in several)
    if isinstance(node, ast.Name) and node.id in ("true", "false"):
        node = ast.Constant(node.id == "true")
    one = kind.removesuffix("?")
    if one in catalogue() and not (isinstance(node, ast.Constant) and node.value is None):
        return _part(one, node, option)
    if isinstance(node, ast.Name) and one == "str":
        return node.id.replace("_", "-")
    try:
        found = ast.literal_eval(node)
    except ValueError as error:
        raise ValueError(f"--{option} is {_shown(node)}: it must be {_IN_WORDS.get(one, one)}") from error
    wanted = {"int": int, "float": int | float, "bool": bool, "str": str}.get(one, object)
    if found is not None and (not isinstance(found, wanted) or (isinstance(found, bool) and one != "bool")):
        raise ValueError(f"--{option} is {_shown(node)}: it must be {_IN_WORDS.get(one, one)}")
    return float(found) if one == "float" and found is not None else found


_IN_WORDS = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a word"}


def _shown(node: ast.expr) -> str:
    return ast.unparse(node).replace("_", "-")


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, float):
        return f"{value!r}".removesuffix(".0").replace("inf", "1e999")
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else f"{value!r}"
    return str(value)


def _made(value: Any, option: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_made(one, option) for one in value)
    return value.make(option) if isinstance(value, Part) else value
