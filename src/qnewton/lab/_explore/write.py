"""Puts the page of `qnewton explore` together: one file that holds script, style and compiled formulas."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from .._report.svg import PALETTE
from .words import words

COLOURS: dict[str, tuple[str, str]] = {  # as of `PALETTE`: (on light paper, on dark paper)
    # orders of magnitude: quantum purple, classical green, which the colour-blind tell apart; even is near the paper
    "quantum-1": ("#f0e8fb", "#2c2240"),
    "quantum-2": ("#dccbf3", "#45325f"),
    "quantum-3": ("#bd9fe5", "#66489a"),
    "quantum-4": ("#9064cf", "#946cd2"),
    "quantum-5": ("#5b2a9d", "#c9a2ff"),
    "classical-1": ("#eef7f2", "#16241f"),
    "classical-2": ("#d8ede2", "#1b332b"),
    "classical-3": ("#bbe0cf", "#21443a"),
    "classical-4": ("#97cdb6", "#28584a"),
    "classical-5": ("#6db598", "#31705e"),
    "classical-6": ("#44987a", "#418b75"),
    "classical-7": ("#237a5c", "#57a88e"),
    "classical-8": ("#0e5a43", "#74c6aa"),
    # factors of the quantum time
    "term-0": ("#5b2a9d", "#c9a2ff"),
    "term-1": ("#7b4fb8", "#b391e0"),
    "term-2": ("#7b4fb8", "#b391e0"),
    "term-3": ("#9c1f5e", "#ff9cc8"),
    "term-4": ("#b03a6c", "#f0b5cd"),
    "term-5": ("#23408e", "#9db8ff"),
    "term-6": ("#7a3410", "#f2ab7d"),
    "term-7": ("#4a5560", "#9aa3ab"),
    "focus": ("#0b5cc4", "#8ec5ff"),
}
MODULES = [
    "numbers",
    "model",
    "state",
    "turns",
    "grid",
    "paint",
    "figure",
    "explain",
    "race",
    "controls",
    "sides",
    "save",
    "main",
]
"""In the order in which each finds what it imports."""
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:const|(?:async )?function\*?) (\w+))", re.MULTILINE)


@dataclass(frozen=True)
class Start:
    """The numbers that a page opens with.

    Attributes:
        settings: by name of the input; what is left out has its default.
        label: where they are from; empty: from nowhere.
        notes: what was assumed for them.
    """

    settings: Mapping[str, float | str]
    label: str = ""
    notes: Sequence[str] = ()


def page(bundle: str, start: Start | None = None) -> str:
    """Return the whole page, which fetches nothing and runs no other script than its own.

    Args:
        bundle: JavaScript that sets `globalThis.QN` (`bundle.bundle`).
        start: what it opens with; None: the defaults of every input.
    """
    palette = PALETTE | COLOURS
    script = "\n".join(
        [
            bundle,
            "(() => {",
            '"use strict";',
            f"globalThis.PALETTE = {_literal(palette)};",
            f"globalThis.WORDS = {_literal(words())};",
            f"globalThis.VERSION = {_literal(version('qnewton'))};",
            f"globalThis.START = {_literal(None if start is None else asdict(start))};",
            "const modules = {};",
            *(_inlined(name) for name in MODULES),
            "})();",
        ]
    ).replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    light, dark = (f":root{{{_declared(palette, column)}}}" for column in (0, 1))
    style = f":root{{color-scheme:light dark}}{light}@media screen and (prefers-color-scheme:dark){{{dark}}}"
    allowed = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data: blob:"
    parts = {
        "security": allowed,
        "style": style + _asset("page.css"),
        "figure-style": _asset("figure.css"),
        "version": version("qnewton"),
        "script": script,
    }
    return re.sub("@([a-z-]+)@", lambda match: parts[match[1]], _asset("page.html"))


def write_explorer(target: Path, start: Start | None = None) -> Path:
    """Write the page.

    Args:
        target: of the file.
        start: as of `page`.

    Returns:
        The target.

    Raises:
        FileExistsError: if it is there already.
        OSError: if it cannot be written.
    """
    from .bundle import bundle

    text = page(bundle(), start)
    with target.open("x", encoding="utf-8") as file:
        file.write(text)
    return target


def _asset(name: str) -> str:
    return files(__package__ or "").joinpath("assets", name).read_text("utf-8")


def _inlined(name: str) -> str:
    """A module's text as a function that is called once, since a file has no other to import from."""
    text = _asset(f"{name}.js")
    exported = ", ".join(match[2] for match in _EXPORT.finditer(text))
    text = _EXPORT.sub(r"\1", _IMPORT.sub(r"const \1 = modules.\2;", text))
    return f"modules.{name} = (() => {{\n{text}return {{ {exported} }};\n}})();"


def _declared(palette: Mapping[str, tuple[str, str]], column: int) -> str:
    return "".join(f"--{name}:{pair[column]};" for name, pair in palette.items())


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=list)
