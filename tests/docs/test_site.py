"""The site is built strictly, and says something of every public name and of every command."""

import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sphinx.util.inventory import InventoryFile

import qnewton
from qnewton._pricing.assumptions import ASSUMPTION_SETS, Assumptions
from qnewton.lab._cli.main import COMMANDS

ROOT = Path(__file__).parent.parent.parent
NAMESPACES = sorted(name for name in qnewton.__all__ if inspect.ismodule(getattr(qnewton, name)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` builds it: a warning, a dead reference or a broken docstring fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(ROOT / "docs")]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr[-8000:]
    return folder


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    """Names of Python objects that have an entry."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {name for domain, items in inventory.data.items() if domain.startswith("py:") for name in items}


def test_every_flat_name_is_documented(documented) -> None:
    flat = set(qnewton.__all__) - set(NAMESPACES)
    assert 40 < len(flat) < 65
    assert sorted(name for name in flat if f"qnewton.{name}" not in documented) == []


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_of_a_namespace_is_documented(namespace, documented) -> None:
    """Under the flat name where it has one, else in the namespace, or in another that has it as well."""
    names = getattr(qnewton, namespace).__all__
    places = {name: [f"qnewton.{name}", *(f"qnewton.{one}.{name}" for one in NAMESPACES)] for name in names}
    assert [name for name in names if documented.isdisjoint(places[name])] == []


def test_every_command_and_option_is_on_the_page_of_the_command_line(site, capsys) -> None:
    page = (site / "cli.html").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f'id="{command}"' in page, command
        with pytest.raises(SystemExit):
            COMMANDS[command](["--help"])
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", capsys.readouterr().out.split("options", 1)[1]):
            assert option == "--help" or option in page, f"{command} {option}"


def rows(page: str, *, columns: int) -> dict[str, list[str]]:
    """Rows of all tables of so many columns, by what stands in their first cell as code."""
    found = {}
    for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == columns and cells[0].startswith("`"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_every_term_of_an_assumption_set_is_explained_with_its_setting() -> None:
    switches, parameters = rows("assumptions.md", columns=8), rows("assumptions.md", columns=3)
    assert set(Assumptions.__dataclass_fields__) <= {*switches, *parameters}
    for switch, (_, _, *settings) in switches.items():
        taken = [bool(getattr(assumed, switch)) for assumed in ASSUMPTION_SETS.values()]
        assert [bool(setting) for setting in settings] == taken, switch
    for parameter in ("solver_share", "gate_share", "norm_share", "failure_probability", "entries_per_s"):
        assert float(parameters[parameter][0]) == pytest.approx(getattr(ASSUMPTION_SETS["end_to_end"], parameter))


class Fetched(HTMLParser):
    """Addresses that a browser asks for by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.addresses.append(given.get("src") or "")
        if tag == "link" and given.get("rel") not in ("canonical", "index", "search", "next", "prev"):
            self.addresses.append(given.get("href") or "")


def test_a_page_fetches_nothing_from_elsewhere(site) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        parser = Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        assert [address for address in parser.addresses if "//" in address] == [], page
    assert "<math" in (site / "cost-model.html").read_text(encoding="utf-8"), "formulas are drawn by the browser"


def test_examples_are_on_their_page(site) -> None:
    page = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    for example in (ROOT / "examples").glob("*.py"):
        assert f"../examples/{example.name}" in page


def test_names_are_links(site) -> None:
    assert 'title="qnewton.GaussNewton"' in (site / "api" / "optimizers.html").read_text(encoding="utf-8")


def test_the_package_has_a_version_on_the_site(site) -> None:
    assert qnewton.__version__ in (site / "index.html").read_text(encoding="utf-8")
