"""Our docstrings are plain text with `code` in single backticks, as one reads them in an editor.

Here they become reStructuredText: what stands in backticks is a link where it is a public name and code elsewhere, an
indented block is literal, and signs that mean something in markup mean themselves.
"""

import functools
import inspect
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.domains.python._object import PyObject

import qnewton

_CODE = re.compile(r"`[^`]+`")
_SPECIAL = re.compile(r"([*|_\\])")
# Google's sections indent what belongs to them. Napoleon takes those with names; what is returned has none.
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns):$")
_NAMED = re.compile(r"^    \*{0,2}[\w, *]+:(?= |$)")


def convert(lines: list[str]) -> list[str]:
    """The lines of one docstring as reStructuredText."""
    found: list[str] = []
    section = ""
    paragraph: list[str] = []

    def close() -> None:
        found.extend(_prose("\n".join(paragraph)).splitlines())
        paragraph.clear()

    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if header := _SECTION.match(line):
            close()
            section, literal = header[1], False
            found.append(":returns:" if section == "Returns" else line)
            continue
        if line.strip() and not indented:
            section, literal = "", False
        if indented and not section and not literal and not paragraph:
            found += ["::", ""]
            literal = True
        if literal or not line.strip():
            close()
            found.append(line)
        else:
            if section and _NAMED.match(line):
                close()
            paragraph.append(line)
    close()
    return found


def _prose(text: str) -> str:
    """A paragraph, or what a section says of one name; code may run over the end of a line."""
    head = named[0] if (named := _NAMED.match(text)) else ""
    parts = re.split(r"(`[^`]+`)", text.removeprefix(head))
    return head + "".join(
        _code(" ".join(part[1:-1].split())) if _CODE.fullmatch(part) else _SPECIAL.sub(r"\\\1", part) for part in parts
    )


def _code(text: str) -> str:
    name = text.removesuffix("()")
    place = _public().get(name.rpartition(".")[2])
    if place is not None and name in (place, place.removeprefix("qnewton."), place.rpartition(".")[2]):
        return rf":py:obj:`~{place}`\ "
    return f"``{text}``\\ "


@functools.cache
def _public() -> dict[str, str]:
    """Where a public name is documented: under `qnewton` itself if it is there, else in its namespace."""
    places: dict[str, str] = {}
    for space in (one for name in qnewton.__all__ if inspect.ismodule(one := getattr(qnewton, name))):
        places |= {name: f"{space.__name__}.{name}" for name in space.__all__}
    flat = (name for name in qnewton.__all__ if not inspect.ismodule(getattr(qnewton, name)))
    return places | {name: f"qnewton.{name}" for name in flat}


def _process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = convert(lines)


def _short(text: str) -> str:
    """Types without the modules that they are from."""
    return re.sub(
        r"\b(?:jax|jaxlib|jaxtyping|collections|typing|numpy|lineax|optax|qnewton)\.(?:\w+\.)*(?=\w)", "", text
    )


def _types_as_code(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A shape such as `Float[Array, "*batch n"]` is to be read, not to be parsed."""
    lines[:] = [re.sub(r"^(:vartype [^:]+:) (.+)$", lambda m: f"{m[1]} ``{_short(m[2])}``", line) for line in lines]


def _signature(app: Sphinx, what: str, name: str, obj: Any, options: Any, given: str | None, back: str | None) -> Any:
    """The array not by where it happens to be defined, and a query count by its name."""

    def short(text: str) -> str:
        text = text.replace("jaxlib._jax.Array", "Array")
        return re.sub(r"QueryModel\(name='(\w+)',.*?rectangular=\w+\)", r"\1", text)

    return tuple(text and short(text) for text in (given, back))


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """The fields of a named tuple, which its own docstring explains."""
    return True if (inspect.getdoc(obj) or "").startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Before napoleon sees them, and after it."""
    app.connect("autodoc-process-docstring", _process, priority=1)
    app.connect("autodoc-process-docstring", _types_as_code, priority=900)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-skip-member", _skip)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
