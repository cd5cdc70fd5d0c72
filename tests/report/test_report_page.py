"""The page: what it shows, what it must never hold, and that it is always the same."""

import re
from html.parser import HTMLParser

import matplotlib
import pytest

from qnewton.lab._report import write_report
from qnewton.lab._report.svg import PALETTE
from qnewton.lab._runfile import RunFileError

VOID = {"meta", "br", "link", "img"}
LINKS = {"href", "src", "srcset", "action", "data", "poster", "background", "cite", "formaction", "xlink:href"}
FIGURES = {
    "f-loss": "Loss",
    "f-accuracy": "Test accuracy",
    "f-kappa": "Condition number per block",
    "f-choice0": "Choice per block, set paper (carried out)",
    "f-choice1": "Choice per block, set end_to_end (not carried out)",
    "f-measured-step": "MEASURED Wall clock per step",
    "f-measured-sum": "MEASURED Wall clock, cumulative",
    "f-predicted-sum": "PREDICTED Total of the run",
    "f-predicted-step0": "PREDICTED Per step, set paper",
    "f-predicted-step1": "PREDICTED Per step, set end_to_end",
    "f-sweep": "PREDICTED Seconds and quantum share by gate time",
    "f-breakeven0": "PREDICTED Break-even gate time per block, set paper",
    "f-breakeven1": "PREDICTED Break-even gate time per block, set end_to_end",
}


class Page(HTMLParser):
    """Every attribute, and the text below every element that has an id or a clock; fails on unbalanced elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[tuple[str, dict[str, str]]] = []
        self.below: dict[str, list[str]] = {}
        self.clocks: list[tuple[str, str, list[str]]] = []  # (tag, clock, text)
        self.values: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_starttag(self, tag, attrs):
        found = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in found.items()]
        if tag in VOID:
            return
        if tag == "data":
            self.values[found["data-field"]] = found["value"]
        if "data-clock" in found:
            self.clocks.append((tag, found["data-clock"], []))
            found["clock-index"] = str(len(self.clocks) - 1)
        self.open.append((tag, found))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, found in self.open:
            if "id" in found:
                self.below.setdefault(found["id"], []).append(data)
            if "clock-index" in found:
                self.clocks[int(found["clock-index"])][2].append(data)

    def text(self, identifier: str) -> str:
        return " ".join(" ".join(self.below[identifier]).split())


@pytest.fixture
def page_of(write_run):
    def read(files) -> Page:
        return Page(write_report(write_run(files)).read_text(encoding="utf-8"))

    return read


@pytest.fixture(scope="module")
def page(make_run, write_run_to, tmp_path_factory) -> Page:
    """One page that many tests read: drawing takes far longer than reading."""
    directory = write_run_to(tmp_path_factory.mktemp("page") / "run", make_run(steps=12))
    return Page(write_report(directory).read_text(encoding="utf-8"))


def test_nothing_is_fetched_and_nothing_runs(page: Page):
    assert not {"script", "link", "img", "iframe", "object", "embed", "image", "base", "form"} & set(page.tags)
    for tag, key, value in page.attributes:
        assert not key.startswith("on"), (tag, key)
        if key in LINKS:
            assert value.startswith("#"), (tag, key, value)
        for target in re.findall(r"url\(([^)]*)\)", value):
            assert target.startswith("#"), (tag, key, value)
    assert "@import" not in page.source
    assert "://" not in page.source
    assert "url(" not in page.text("provenance")


def test_it_can_be_read_in_every_window(page: Page, opened, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page.source, encoding="utf-8")
    for found in opened(path):
        assert found["figures"] == page.tags.count("svg")


def test_every_reference_inside_the_page_has_its_target(page: Page):
    identifiers = [value for _, key, value in page.attributes if key == "id"]
    assert len(identifiers) == len(set(identifiers))
    used = {value[1:] for _, key, value in page.attributes if key == "href"}
    used |= {target for _, _, value in page.attributes for target in re.findall(r"url\(#([^)]*)\)", value)}
    assert used <= set(identifiers)


def test_every_figure_has_its_title_and_a_drawing(page: Page):
    shown = {value for tag, key, value in page.attributes if (tag, key) == ("figure", "id")}
    assert shown == set(FIGURES)
    for identifier, title in FIGURES.items():
        assert page.text(identifier).startswith(title)
    assert page.tags.count("svg") == len(FIGURES)
    assert sum(tag == "svg" and key == "aria-label" for tag, key, _ in page.attributes) == len(FIGURES)


def test_colours_come_from_the_page(page: Page):
    assert not re.search(r"#0000[0-9a-f]{2}", page.source)
    drawn = set(re.findall(r"var\(--(\w+)\)", page.source))
    assert drawn <= set(PALETTE)
    styles = [value for tag, key, value in page.attributes if key == "style"]
    assert not [style for style in styles if re.search("#[0-9a-fA-F]{3,6}", style.replace("url(#", ""))]
    assert "prefers-color-scheme:dark" in page.source


def test_measured_and_predicted_seconds_never_meet(page: Page):
    figures = {"measured": 0, "predicted": 0, "none": 0}
    for tag, clock, pieces in page.clocks:
        words = " ".join(pieces).lower()
        figures[clock] += tag == "figure"
        if clock == "measured":
            assert "predicted" not in words
            assert "measured" in words
        elif clock == "predicted":
            assert "measured" not in words
            assert "predicted" in words
        else:
            assert "measured" not in words
            assert "predicted" not in words
            assert not re.search(r"\d [munpfa]?s\b", words.replace("µ", "u")), words
    assert figures == {"measured": 2, "predicted": 6, "none": 5}


@pytest.mark.parametrize(
    ("figure", "label"),
    [
        ("f-measured-step", "measured seconds per step"),
        ("f-measured-sum", "measured seconds, cumulative"),
        ("f-predicted-sum", "predicted seconds, all steps"),
        ("f-predicted-step0", "predicted s per step"),
        ("f-predicted-step0", "solves, predicted s"),
        ("f-sweep", "predicted s"),
        ("f-breakeven0", "predicted break-even gate time"),
        ("f-kappa", "condition number κ"),
    ],
)
def test_the_axis_says_which_clock_it_is(page: Page, figure, label):
    assert label in page.below[figure]


def test_what_a_quantum_solve_is_stands_on_the_page(page: Page):
    text = " ".join(re.sub("<[^>]*>", "", page.source).split())
    assert "are classical solves standing in for the quantum state; only their cost is quantum" in text
    assert "the query count of arXiv:2305.11352v1 times the gate time" in text
    assert "are free, and the subnormalisation is 1" in text


def test_headline_numbers_are_those_of_the_summary(make_run, page: Page):
    shown, summary = page.values, make_run(steps=12)["summary"]
    for field in ("test_accuracy", "final_loss", "test_loss", "steps", "measured_seconds", "quantum_share"):
        assert float(shown[field]) == summary[field]
    assert float(shown["predicted_seconds"]) == summary["predicted_seconds"]["paper"]
    assert float(shown["predicted_seconds_all_classical"]) == summary["predicted_seconds_all_classical"]
    assert float(shown["measured_compilation"]) == summary["measured_breakdown"]["compilation"]


def test_the_footer_says_where_it_comes_from(make_run, page_of):
    files = make_run(steps=2, blocks=1, seed=17)
    text = page_of(files).text("provenance")
    for word in (
        "0123abc",
        "jax 0.10.0",
        "x86_64",
        "17",
        "paper",
        "optimizer.damping",
        "0.005",
        "2025-11-21T06:12:00Z",
    ):
        assert word in text


def test_without_a_summary_the_steps_speak(make_run, page_of):
    files = make_run(steps=3)
    files["summary"] = None
    page = page_of(files)
    assert "summary.json is missing" in page.source
    assert float(page.values["test_accuracy"]) == files["steps"][-1]["test_accuracy"]
    assert float(page.values["predicted_seconds"]) == pytest.approx(
        sum(step["predicted_seconds"]["paper"]["total"] for step in files["steps"])
    )
    assert page.tags.count("svg") == len(FIGURES)
    assert "recomputed, every system" in page.text("f-sweep")


def test_an_interrupted_run_says_so(make_run, page_of):
    files = make_run(steps=3, blocks=1)
    files["summary"]["status"] = "interrupted"
    assert "The run was interrupted after 3 steps" in page_of(files).source


def test_a_summary_that_contradicts_its_steps_is_noted(make_run, page_of):
    files = make_run(steps=3, blocks=1)
    files["summary"]["predicted_seconds"]["paper"] *= 2
    assert "but the steps in steps.jsonl add up to" in page_of(files).source


# Each number of steps and each number of blocks; a page without a step has nothing of its blocks.
@pytest.mark.parametrize(("steps", "blocks"), [(0, 9), (1, 1), (1, 30), (2, 1), (2, 9)])
def test_few_steps_and_any_number_of_blocks(make_run, page_of, steps, blocks):
    page = page_of(make_run(steps=steps, blocks=blocks))
    assert page.tags.count("svg") == (len(FIGURES) if steps else 0)
    assert ("No step was written" in page.source) == (steps == 0)


def test_a_run_that_never_came_to_its_first_step(make_run, page_of):
    page = page_of({"config": make_run(steps=1)["config"]})
    assert "No step was written" in page.source
    assert page.values["test_accuracy"] == ""


def test_a_run_without_newton_systems(make_run, page_of):
    files = make_run(steps=3, blocks=1)
    files["blocks"] = []
    for step in files["steps"]:
        step["predicted_seconds"] = {}
    files["summary"].update(
        predicted_seconds={}, predicted_seconds_all_classical=None, quantum_share=None, by_gate_time=[]
    )
    assert "f-measured-step" in page_of(files).below


def test_all_classical(make_run, page_of):
    files = make_run(steps=4, gate_time_s=1.0)
    assert {block["execution"] for block in files["blocks"]} == {None}
    page = page_of(files)
    assert page.values["quantum_share"] == "0.0"
    assert "standing in for the quantum state" not in page.source
    assert "quantum:" not in page.text("f-choice0")


def test_no_quantum_candidate(make_run, page_of):
    files = make_run(steps=2, blocks=1)
    for block in files["blocks"]:
        for entry in block["assumptions"].values():
            for field in ("break_even_gate_time_s", "predicted_quantum_seconds_by_gate_time", "queries"):
                entry[field] = {}
    files["summary"]["by_gate_time"] = []
    assert "No quantum candidate was costed" in page_of(files).source


def test_null_wherever_a_number_may_be_missing(make_run, page_of):
    files = make_run(steps=5)
    for step in files["steps"]:
        step.update(loss=None, train_loss=None, test_loss=None, test_accuracy=None)
        step["predicted_seconds"]["end_to_end"].update(solve_quantum=None, total=None)
    for block in files["blocks"]:
        block.update(condition_number=None, log10_condition_number=None, kept_fraction=None)
        block.update(relative_residual=None, exact_residual=None)
        for entry in block["assumptions"].values():
            entry["break_even_gate_time_s"] = dict.fromkeys(entry["break_even_gate_time_s"])
            for rows in entry["predicted_quantum_seconds_by_gate_time"].values():
                rows[0][1] = None
    files["summary"].update(test_accuracy=None, test_loss=None, final_loss=None, measured_seconds=None)
    files["summary"].update(predicted_seconds_all_classical=None, execution=None)
    page = page_of(files)
    assert "Systems without a number (30) are gaps" in page.text("f-kappa")
    assert page.values["final_loss"] == ""
    assert "none" in page.text("f-breakeven0")


def test_steps_that_mean_nothing_are_counted(make_run, page: Page, page_of):
    assert "would have been closer" not in page.source
    files = make_run(steps=3, blocks=2)
    for block in files["blocks"][:3]:
        block["exact_residual"] = 1.5
    assert "3 solutions left a residual above 1" in page_of(files).source


def test_numbers_beyond_the_floating_point_range_keep_their_power(make_run, page_of):
    files = make_run(steps=3, blocks=2)
    for block in files["blocks"]:
        block.update(condition_number=None, log10_condition_number=400.0 + block["step"])
        for entry in block["assumptions"].values():
            for rows in entry["predicted_quantum_seconds_by_gate_time"].values():
                rows[:] = [[time, 1e300] for time, _ in rows]
    assert "10⁴⁰¹" in page_of(files).text("systems")


NAMES = (
    '<script>alert("1")</script>',
    '"><img src=x onerror=alert(1)>',
    "]]><!-- </svg></style>",
    "$\\frac{1}{0}$ & $x^",
    "_hidden",
    "重み.層🙂",
    "url(http:x)",
    "",
)


# Every name stands in every field of a system, each in a system of its own; what there is once holds all in a row.
@pytest.mark.parametrize("whole", ["".join(NAMES), "$x^$", ""], ids=["all", "mathtext", "empty"])
def test_names_from_files_are_only_text(make_run, page_of, whole):
    files = make_run(steps=1, blocks=len(NAMES))
    files["config"].update(task=whole, preset=whole, commit=whole)
    files["config"]["options"] = {name or "option": name for name in NAMES}
    files["config"]["model"]["description"] = whole
    for block, name in zip(files["blocks"], NAMES, strict=True):
        block.update(name=name, status=name, ran=name)
        for key, entry in block["assumptions"].items():
            entry.update(choice=name, refused={name: name})
            block["solver"] = entry["choice"] if key == "paper" else block["solver"]
    page = page_of(files)
    assert not {"script", "img"} & set(page.tags)
    assert not [key for _, key, _ in page.attributes if key.startswith("on")]
    shown = " ".join(page.below["systems"])
    assert [name for name in NAMES if name not in shown] == []


def test_set_names_from_files_are_only_text(make_run, page_of):
    name = "$<b>&_{"
    files = make_run(steps=2, blocks=2)
    for line in (*files["steps"], *files["blocks"]):
        group = line.get("assumptions", line.get("predicted_seconds", {}))
        group[name] = group.pop("end_to_end")
    page = page_of(files)
    assert "b" not in page.tags or page.tags.count("b") == len(page.values)
    assert f"set {name}" in page.text("f-choice1")


def test_the_same_run_gives_the_same_page(make_run, write_run):
    directory = write_run(make_run(steps=2))
    first = write_report(directory).read_bytes()
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": "other", "font.size": 30}):
        assert write_report(directory).read_bytes() == first


def test_matplotlib_is_left_as_it_was(make_run, write_run):
    before = dict(matplotlib.rcParams)
    write_report(write_run(make_run(steps=2, blocks=1)))
    assert dict(matplotlib.rcParams) == before


def test_the_page_replaces_an_older_one_in_one_move(make_run, write_run):
    files = make_run(steps=2, blocks=1)
    directory = write_run(files)
    names = {path.name for path in directory.iterdir()}
    (directory / "report.html").write_text("older")
    assert write_report(directory) == directory / "report.html"
    assert {path.name for path in directory.iterdir()} == names | {"report.html"}
    page = (directory / "report.html").read_bytes()
    files["steps"][0]["step"] = None
    with pytest.raises(RunFileError):
        write_report(write_run(files))
    assert (directory / "report.html").read_bytes() == page


@pytest.mark.parametrize(("steps", "blocks"), [(400, 4), (50, 24)])
def test_the_page_stays_small(make_run, page_of, steps, blocks):
    page = page_of(make_run(steps=steps, blocks=blocks))
    assert len(page.source) < 600_000
