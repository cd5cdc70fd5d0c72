"""The systems of a complete optimizer, on the page and in words: both sets side by side, bounds named as such."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from qnewton.lab._report import explain, write_report
from qnewton.lab._runfile import SystemLine, read_run

UNDERCUT = "even its least cost exceeds what another candidate is sure to do it for"
QLSA = "QLSA(jennings2023v1)"


def decision(choice: str | None, cholesky: float, qlsa: float, *, bound: bool) -> dict[str, Any]:
    return {
        "choice": choice,
        "machine": choice and ("quantum" if choice == QLSA else "classical"),
        "worker": None,
        "verdict": "open" if choice is None else "chosen",
        "predicted_seconds": {"Cholesky": cholesky, "LU": 2 * cholesky, QLSA: qlsa},
        "refused": {"LU": UNDERCUT},
        **{name: {QLSA: None} for name in ("queries", "copies", "success_probability", "break_even_gate_time_s")},
        "clamped": {},
        "predicted_quantum_seconds_by_gate_time": {},
        "at_least": [QLSA] if bound else [],
    }


def group(block: int, name: str, under: dict[str, Any], *, kappa: float | None = None) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(SystemLine.__struct_fields__)
    return nothing | {
        "step": 0,
        "block": block,
        "name": name,
        "n": 1040,
        "count": 2,
        "vectors": 3,
        "serves": 5,
        "estimated": kappa is not None,
        "log10_condition_number": kappa,
        "acting": "end_to_end",
        "solver": under["end_to_end"]["choice"],
        "assumptions": under,
        "expected_iterations": {},
        "timed": {},
        "own": {},
    }


SURE = group(
    0,
    "layers of 65 x 16",
    {
        "end_to_end": decision("Cholesky", 2e-5, 7.9e10, bound=True),
        "paper": decision(None, 2e-5, 1e-6, bound=True),
    },
)
SEEN = group(
    1,
    "layers of 17 x 16",
    {
        "end_to_end": decision("Cholesky", 3e-6, 4e9, bound=False),
        "paper": decision(QLSA, 3e-6, 1e-6, bound=False),
    },
    kappa=4.0,
)
TOTALS = {
    "end_to_end": {"predicted_seconds": 9.2e-5, "modelled_seconds": 0.0, "solved_by": {"Cholesky": 16}, "open": 0},
    "paper": {"predicted_seconds": 0.0, "modelled_seconds": 4e-6, "solved_by": {QLSA: 8}, "open": 8},
}


@pytest.fixture
def complete(make_run: Callable[..., Any]) -> dict[str, Any]:
    """A run of K-FAC whose groups are those of the first step throughout."""
    files = make_run(steps=4, blocks=1)
    files["config"] |= {
        "optimizer": "kfac",
        "family": {
            "name": "kfac",
            "because": "many residuals",
            "acting": "end_to_end",
            "gate_time_s": 5e-8,
            "relative_error": 0.3,
        },
    }
    files["config"]["model"]["blocks"] = []
    for step in files["steps"]:
        step |= {"predicted_seconds": {}, "systems": 2 if step["step"] == 0 else 0}
    nothing = dict.fromkeys(("predicted_seconds_all_classical", "execution"))
    empty: dict[str, Any] = {"predicted_seconds": {}, "by_gate_time": [], "solved_by": {"Cholesky": 16}}
    files["summary"] |= {"optimizer": "kfac", "systems": TOTALS} | nothing | empty
    files["blocks"] = [SURE, SEEN]
    return files


def rows(section: str) -> dict[str, list[str]]:
    """Name of a row to its other cells."""
    found = [
        [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", row)]
        for row in re.findall(r"<tr>.*?</tr>", section)
    ]
    return {cells[0]: cells[1:] for cells in found if cells}


def section_of(page: str, name: str = "choices") -> str:
    return page[page.index(f'<section id="{name}">') :].partition("</section>")[0]


def test_a_row_says_who_solves_under_either_set_and_what_each_would_take(complete, write_run) -> None:
    page = write_report(write_run(complete)).read_text("utf-8")
    section, systems = section_of(page), section_of(page, "systems")
    found, sizes = rows(section), rows(systems)
    qlsa = ["at least 7.90×10¹⁰ s", "at least 1.00 µs"], ["4.00×10⁹ s", "1.00 µs"]
    of_each = ["1\N{NARROW NO-BREAK SPACE}040", "2", "3", "steps: 5"]
    assert sizes["0"] == ["layers of 65 x 16", *of_each, "–", "–"]
    assert sizes["1"] == ["layers of 17 x 16", *of_each, "1.0×10⁴", "1.0×10⁴ to 1.0×10⁴"]
    assert found["layers of 65 x 16"] == ["Cholesky", "open, perhaps QLSA", "20.0 µs", "40.0 µs", *qlsa[0]]
    assert found["layers of 17 x 16"] == ["Cholesky", "QLSA", "3.00 µs", "6.00 µs", *qlsa[1]]
    headings = re.findall(r"<th[^>]*><span>(.*?)</span>", section)
    assert headings[1:3] == ["solved under end_to_end, carried out", "solved under paper"]
    assert headings[3:7] == [
        "Cholesky, predicted",
        "LU, predicted",
        "QLSA, modelled under end_to_end",
        "QLSA, modelled under paper",
    ]
    assert "Family kfac: many residuals." in systems
    assert "MEASURED" not in section


def test_what_the_layers_hold_is_said_if_it_is_known(complete, write_run) -> None:
    told = "Layers hold 87.5 % of the parameters: matrix product, inside scan 75.0 %; scale 12.5 %."
    complete["config"]["family"] |= {
        "layers": {"matrix product, inside scan": 0.75, "scale": 0.125},
        "outside": {"enters `exp`": 0.125},
    }
    section = section_of(write_report(write_run(complete)).read_text("utf-8"), "systems")
    assert f"{told} In no layer, and with a diagonal: enters <code>exp</code> 12.5 %." in section
    complete["config"]["family"] |= {"layers": {}, "outside": {}}
    assert "Layers hold" not in section_of(write_report(write_run(complete)).read_text("utf-8"), "systems")


def test_the_totals_of_the_page_are_those_of_the_summary(complete, write_run) -> None:
    found = rows(section_of(write_report(write_run(complete)).read_text("utf-8")))
    assert found["end_to_end, carried out"] == ["Cholesky 16", "0", "92.0 µs", "0 s"]
    assert found["paper"] == [f"{QLSA} 8", "8", "0 s", "4.00 µs"]


def test_a_sum_over_nothing_is_not_shown_as_free(complete, write_run) -> None:
    complete["steps"][0]["systems"], complete["blocks"] = 1, [SURE]
    found = rows(section_of(write_report(write_run(complete)).read_text("utf-8")))
    assert found["paper"] == ["none", "8", "–", "–"]


def test_a_run_without_groups_has_no_such_section(complete, write_run) -> None:
    complete["blocks"] = None
    for step in complete["steps"]:
        step["systems"] = 0
    complete["summary"] |= {"systems": {}, "solved_by": {}, "acting": None, "gate_time_s": None, "quantum_share": None}
    page = write_report(write_run(complete)).read_text("utf-8")
    assert 'id="systems"' not in page
    assert 'id="choices"' not in page
    assert "None of its systems is priced" in page


def test_a_run_of_before_is_read_as_one_without_groups(complete, write_run) -> None:
    complete["blocks"] = None
    for name in ("config", "summary"):
        complete[name]["schema_version"] = 8
    for step in complete["steps"]:
        del step["systems"]
    del complete["config"]["family"], complete["summary"]["systems"]
    run = read_run(write_run(complete))
    assert (run.blocks, run.held, run.notes) == ((), (), ())
    assert run.config.family is None


def test_explain_says_what_is_sure_and_what_is_open(complete, write_run) -> None:
    run = read_run(write_run(complete))
    first, second = explain(run, -1)
    assert (first.step, first.assumptions, first.choice, first.n) == (3, "end_to_end", "Cholesky", 1040)
    assert first.why == "the fastest of 3, 2 times ahead of the next"
    assert second.condition_number == "10^4.00 at worst"
    by_name = {one.name: one for one in first.candidates}
    assert by_name[QLSA].why == "at least 3.95e+15 times as long"
    assert by_name[QLSA].evidence == "modelled"
    open_one, chosen = explain(run, 2, "paper")
    assert open_one.choice is None
    assert [one.outcome for one in open_one.candidates] == ["open", "open", "slower"]
    assert chosen.choice == QLSA
    assert chosen.why == "the fastest of 3, 3 times ahead of the next"
    assert [one.n for one in explain(run, 0, block="layers of 17 x 16")] == [1040]
    with pytest.raises(ValueError, match=r"steps 0 to 3"):
        explain(run, 4)
    with pytest.raises(ValueError, match="logical"):
        explain(run, 0, "logical")
