"""Formulas as MathML, which every browser draws by itself: no script, nothing fetched from elsewhere."""

import re
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


def mathml(formula: str, **options: bool) -> str:
    """One formula."""
    # The spaces about a function's name, which TeX sets by itself.
    formula = re.sub(r"(?<=[\w})]) \\(ln|log)\b", r" \\,\\\1", formula)
    formula = re.sub(r"\\(ln|log) (?=[\w\\])", r"\\\1\\, ", formula)
    # Bars of a norm stay as high as the letters beside them, whatever else the formula holds.
    return tex2mathml(formula, **options).replace(">‖</mo>", ' stretchy="false">‖</mo>')


def inline(translator: Any, node: Any) -> None:
    """`$x$`."""
    translator.body.append(mathml(node.astext()))


def block(translator: Any, node: Any) -> None:
    """`$$ x \\qquad y $$`: side by side where there is room, else below each other."""
    parts = (mathml(part, as_block=True) for part in node.astext().split(r"\qquad"))
    translator.body.append(f'<div class="formula">{"".join(parts)}</div>')


def nothing(translator: Any, node: Any) -> None:
    """The text of a formula has been written as a whole."""


def skipping(visit: Any) -> Any:
    """The visitor, which leaves the children alone."""

    def visit_and_skip(translator: Any, node: Any) -> None:
        visit(translator, node)
        raise SkipNode

    return visit_and_skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (skipping(inline), nothing), (skipping(block), nothing))
    app.config.html_math_renderer = "mathml"  # pyright: ignore[reportAttributeAccessIssue]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
