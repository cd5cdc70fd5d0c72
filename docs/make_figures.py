"""Draws the figures of README: seconds to a target, from the tables of design.md, and the explorer's map.

    python docs/make_figures.py [--map]

Each is drawn for light and for dark pages, into docs/figures. The map needs Chromium and playwright (extra `test`).
"""

import argparse
import html
import math
import re
import shutil
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
COLOURS = {
    "light": {"ink": "#1f2328", "quiet": "#59636e", "line": "#d1d9e0", "ours": "#5b2a9d", "others": "#59636e"},
    "dark": {"ink": "#e6edf3", "quiet": "#9198a1", "line": "#3d444d", "ours": "#c9a2ff", "others": "#9198a1"},
}
PANELS = (
    # heading of the table in design.md, column of the target, title, subtitle, rows by their names there
    (
        "Physics-informed network",
        "1e-2",
        "Physics-informed network",
        "2-D Poisson, seconds to a loss of 0.01",
        {
            "`recipe` (`dual_newton` untuned)": "qnewton, untuned",
            "L-BFGS (optax, memory 50 or 100)": "L-BFGS (optax)",
            "scipy `least_squares`": "scipy least_squares",
            "kfac-jax": "kfac-jax",
            "optimistix LM": "optimistix LM",
            "Muon": "Muon",
            "AdamW": "AdamW",
        },
    ),
    (
        "Digits MLP",
        "loss 1e-3",
        "Small classifier",
        "digits, 1,482 parameters, seconds to a loss of 0.001",
        {
            "`recipe` (`kfac` untuned)": "qnewton, untuned",
            "Muon": "Muon",
            "kfac-jax": "kfac-jax",
            "L-BFGS": "L-BFGS (optax)",
            "AdamW": "AdamW",
            "Adam": "Adam",
            "SGD + momentum": "SGD + momentum",
        },
    ),
)
WIDTH, HEIGHT, LABELS, ROW, TOP = 440, 262, 152, 25, 58


NUMBERS = {"n": "12544", "kappa": "4000", "d": "1254"}
VIEW = "&".join(
    f"{side}{name}={value}"
    for side, own in (("", "paper"), ("b.", "end_to_end"))
    for name, value in {**NUMBERS, "set": own}.items()
)


def measured(heading: str, column: str) -> dict[str, tuple[float, bool]]:
    """Seconds of each row of a table of design.md, and whether they are a time-out, which is a lower bound."""
    page = (DOCS / "design.md").read_text(encoding="utf-8")
    table = page[page.index(f"**{heading}**") :]
    lines = re.findall(r"^\|(.*)\|$", table.partition("\n\n")[2].partition("\n\n")[0], flags=re.MULTILINE)
    head, _, *rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    place = head.index(column)
    found = {}
    for name, *cells in rows:
        cell = cells[place - 1]
        found[name] = float(cell.lstrip(">").partition("/")[0]), cell.startswith(">")
    return found


def panel(index: int, colours: dict[str, str]) -> str:
    """One panel: a dot for each optimizer on a logarithmic axis, the fastest first."""
    heading, column, title, subtitle, names = PANELS[index]
    table = measured(heading, column)
    rows = sorted((table[name], shown) for name, shown in names.items())
    low = math.floor(3 * math.log10(min(seconds for (seconds, _), _ in rows))) / 3 - 0.1
    high = math.log10(max(seconds for (seconds, _), _ in rows)) + 0.25
    room = WIDTH - LABELS - 62

    def x(seconds: float) -> float:
        return LABELS + room * (math.log10(seconds) - low) / (high - low)

    def text(x: float, y: float, words: str, colour: str, more: str = "") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colours[colour]}" {more}>{html.escape(words)}</text>'

    parts = [text(0, 16, title, "ink", 'font-weight="600" font-size="15"'), text(0, 36, subtitle, "quiet")]
    for place, ((seconds, bound), name) in enumerate(rows):
        y, colour = TOP + ROW * place, "ours" if name.startswith("qnewton") else "others"
        weight = ' font-weight="600"' if colour == "ours" else ""
        parts.append(text(LABELS - 10, y + 4, name, "ink" if weight else "quiet", f'text-anchor="end"{weight}'))
        line = (
            f'<line x1="{LABELS}" x2="{x(seconds):.1f}" y1="{y}" y2="{y}" stroke="{colours["line"]}" stroke-width="2"/>'
        )
        fill = "none" if bound else colours[colour]
        dot = (
            f'<circle cx="{x(seconds):.1f}" cy="{y}" r="6" fill="{fill}" stroke="{colours[colour]}" stroke-width="2"/>'
        )
        said = f"> {seconds:g} s" if bound else f"{seconds:.2g} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
        parts += [line, dot, text(x(seconds) + 13, y + 4, said, "ink" if weight else "quiet", weight)]
    return f'<g transform="translate({index * (WIDTH + 20)} 4)">{"".join(parts)}</g>'


def race(theme: str) -> str:
    """The whole figure as SVG."""
    size = f'width="{2 * WIDTH + 20}" height="{HEIGHT}" viewBox="0 0 {2 * WIDTH + 20} {HEIGHT}"'
    style = 'font-family="system-ui, sans-serif" font-size="13"'
    note = (
        "Measured, medians of three seeds, warm: without compilation (qnewton: 3 to 4 s). Logarithmic; open: time-out."
    )
    last = f'<text x="0" y="{HEIGHT - 6}" fill="{COLOURS[theme]["quiet"]}" font-size="12">{note}</text>'
    body = "".join(panel(index, COLOURS[theme]) for index in range(len(PANELS)))
    title = "<title>Seconds to a target</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} role="img">{title}{body}{last}</svg>\n'


def take_map(theme: str, target: Path) -> None:
    """The explorer's maps of one system under `paper` and `end_to_end`, as they are seen."""
    from playwright.sync_api import sync_playwright

    from qnewton.lab._explore.write import write_explorer

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = write_explorer(Path(folder, "page.html"))
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1100, "height": 900}, color_scheme=theme)  # pyright: ignore
        tab = context.new_page()
        tab.goto(f"{file.as_uri()}#v=1&active=a&{VIEW}")
        tab.wait_for_selector("body[data-idle=true] [data-map][data-size='200']", state="attached")
        tab.add_style_tag(content=".readout{display:none} #figures{padding-top:8px}")
        tab.locator("#figures").screenshot(path=target)
        browser.close()


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", action="store_true", help="also the map")
    options = parser.parse_args()
    for theme in COLOURS:
        (DOCS / "figures" / f"time-to-target-{theme}.svg").write_text(race(theme), encoding="utf-8")
        if options.map:
            take_map(theme, DOCS / "figures" / f"map-{theme}.png")


if __name__ == "__main__":
    main()
