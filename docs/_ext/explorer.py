"""The page of `qnewton explore` as a part of the site: `explorer.html`."""

from pathlib import Path

from sphinx.application import Sphinx

from qnewton.lab._explore.write import write_explorer


def write(app: Sphinx, error: Exception | None) -> None:
    """Write it anew beside the other pages."""
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "explorer.html"
        target.unlink(missing_ok=True)
        write_explorer(target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the event."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
