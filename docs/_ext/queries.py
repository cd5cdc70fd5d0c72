"""`{query-count} NAME`: a published query count. The page writes its formula, its record says the rest."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import qnewton


def facts(name: str) -> list[str]:
    """Where a count comes from, what it counts, and what it comes to, in Markdown."""
    model = qnewton.queries.QUERY_MODELS[name]
    work = model(qnewton.solvers.Encoding(condition_number=100.0, subnormalisation=1.0), 1e-5, 10.0)
    return [
        f"**{str(model.evidence).capitalize()}**; {model.source}; {model.version}. Error: {model.convention}; one "
        f"query: {model.unit}; matrices: {model.matrices}. At κ = 100: {work.queries:.4g} queries.",
        "",
        f"Known from: {model.known_from}.",
    ]


class QueryCount(SphinxDirective):
    """The entry of one count, under the name that users have for it."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """An entry for a Python object, so that its name can be linked to."""
        (name,) = self.arguments
        lines = [f"``````{{py:data}} qnewton.queries.{name}", *self.content, "", *facts(name), "``````"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("query-count", QueryCount)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
