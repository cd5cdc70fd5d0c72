"""Reading a run directory: what is tolerated, and what is an error that names file, line and field."""

import json
from collections.abc import Callable

import pytest

from qnewton.lab._runfile import GridHead, RunDirectory, RunFileError, lines, read_run, read_version

Change = Callable[[dict], object]


def test_records_hold_what_the_files_say(make_run, write_run):
    files = make_run(steps=3)
    run = read_run(write_run(files))
    assert run.notes == ()
    assert [step.loss for step in run.steps] == [step["loss"] for step in files["steps"]]
    assert [block.log10_condition_number for block in run.blocks] == [
        block["log10_condition_number"] for block in files["blocks"]
    ]
    assert run.blocks[-1].assumptions["paper"].choice == files["blocks"][-1]["assumptions"]["paper"]["choice"]
    assert run.summary is not None
    assert run.summary.predicted_seconds == files["summary"]["predicted_seconds"]


def test_a_directory_without_config_is_not_a_run(tmp_path):
    with pytest.raises(RunFileError, match=r"config\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        pytest.param(
            "config",
            lambda f: f.update(schema_version=1),
            r"config\.json: schema_version is 1, and this version of qnewton reads 9, and 6 to 8, which it migrates",
            id="version",
        ),
        pytest.param(
            "config",
            lambda f: f.pop("seed"),
            r"config\.json: the field 'seed' is missing; it must be an integer",
            id="missing",
        ),
        pytest.param(
            "config",
            lambda f: f["versions"].update(jax=7),
            r"config\.json: the field 'versions\.jax' is the number 7; it must be a string or null",
            id="not-text",
        ),
        pytest.param(
            "steps", lambda f: f[1].pop("loss"), r"steps\.jsonl, line 2: the field 'loss' is missing", id="no-loss"
        ),
        pytest.param(
            "steps",
            lambda f: f[1].update(loss="low"),
            r"steps\.jsonl, line 2: the field 'loss' is the string 'low'; it must be a finite number or null",
            id="text-loss",
        ),
        pytest.param(
            "steps",
            lambda f: f[1].update(lost=1.0),
            r"steps\.jsonl, line 2: the field 'lost' is not a field of this record",
            id="unknown",
        ),
        pytest.param(
            "steps", lambda f: f[1].update(accepted=1), r"line 2: the field 'accepted' is the number 1", id="int-flag"
        ),
        pytest.param(
            "steps",
            lambda f: f[0]["predicted_seconds"]["paper"].pop("total"),
            r"line 1: the field 'predicted_seconds\.paper\.total' is missing; it must be a finite number or null",
            id="no-total",
        ),
        pytest.param(
            "blocks",
            lambda f: f[3].update(n=2.5),
            r"blocks\.jsonl, line 4: the field 'n' is the number 2\.5",
            id="float-n",
        ),
        pytest.param(
            "blocks",
            lambda f: f[3].update(block=True),
            r"blocks\.jsonl, line 4: the field 'block' is true; it must be an integer",
            id="bool-block",
        ),
        pytest.param(
            "blocks",
            lambda f: f[3].update(condition_number_kind="guess"),
            r"line 4.*'condition_number_kind' is the string 'guess'; it must be one of 'bound', 'certified', ",
            id="kind",
        ),
        pytest.param(
            "blocks", lambda f: f[3].update(acting="mine"), r"line 4: the field 'acting'.*assumption sets", id="acting"
        ),
        pytest.param(
            "blocks",
            lambda f: f[0]["assumptions"]["paper"].update(machine="abacus"),
            r"line 1: the field 'assumptions\.paper\.machine' is the string 'abacus'; .*'classical' or 'quantum'",
            id="machine",
        ),
        pytest.param(
            "summary",
            lambda f: f.update(status="done"),
            r"summary\.json: the field 'status' is the string 'done'; it must be 'finished' or 'interrupted'",
            id="status",
        ),
        pytest.param(
            "summary",
            lambda f: f["by_gate_time"][2].update(gate_time_s=0),
            r"summary\.json: the field 'by_gate_time\[2\]\.gate_time_s' is the number 0; it must be a positive number",
            id="gate-time",
        ),
    ],
)
def test_what_the_schema_does_not_say_is_an_error_with_its_place(
    make_run, write_run, file: str, change: Change, message
):
    files = make_run(steps=2)
    change(files[file])
    with pytest.raises(RunFileError, match=message):
        read_run(write_run(files))


def test_nan_is_not_json(make_run, write_run):
    directory = write_run(make_run(steps=2))
    text = (directory / "steps.jsonl").read_text().replace('"loss": ', '"loss": NaN, "other": ', 1)
    (directory / "steps.jsonl").write_text(text)
    with pytest.raises(RunFileError, match=r"steps\.jsonl, line 1: .*NaN is not JSON"):
        read_run(directory)


def test_a_number_above_the_floating_point_range_is_an_error(make_run, write_run):
    directory = write_run(make_run(steps=1))
    (directory / "steps.jsonl").write_text(
        (directory / "steps.jsonl").read_text().replace('"epoch": 0.0', '"epoch": 1e999', 1)
    )
    with pytest.raises(RunFileError, match=r"'epoch'.*finite"):
        read_run(directory)


def test_a_broken_line_in_the_middle_is_an_error(make_run, write_run):
    directory = write_run(make_run(steps=2))
    lines = (directory / "blocks.jsonl").read_text().splitlines(keepends=True)
    lines[4] = lines[4][:50] + "\n"
    (directory / "blocks.jsonl").write_text("".join(lines))
    with pytest.raises(RunFileError, match=r"blocks\.jsonl, line 5: not JSON"):
        read_run(directory)


@pytest.mark.parametrize("file", ["steps.jsonl", "blocks.jsonl"])
@pytest.mark.parametrize("ending", ["", "\n"], ids=["bare", "newline"])
def test_a_cut_off_last_line_is_left_out_and_said(make_run, write_run, file, ending):
    directory = write_run(make_run(steps=3))
    text = (directory / file).read_text()
    (directory / file).write_text(text[:-200] + ending)
    run = read_run(directory)
    assert any(file in note and "cut off" in note for note in run.notes)
    assert (len(run.steps), len(run.blocks)) == ((2, 18) if file == "steps.jsonl" else (3, 17))


def test_files_that_a_killed_run_never_wrote_are_said(make_run, write_run):
    files = make_run(steps=2)
    run = read_run(write_run({"config": files["config"]}))
    assert (run.steps, run.blocks, run.summary) == ((), (), None)
    assert [note.split(" ")[0] for note in run.notes] == ["steps.jsonl", "blocks.jsonl", "summary.json"]


def test_what_is_not_finite_is_null(make_run, write_run):
    files = make_run(steps=2)
    files["steps"][1].update(loss=None, train_loss=None, reduction_ratio=None)
    files["blocks"][0].update(
        status="not_finite", damping=None, condition_number=None, log10_condition_number=None, relative_residual=None
    )
    files["blocks"][1].update(condition_number=None, log10_condition_number=412.5)
    files["summary"].update(final_loss=None)
    run = read_run(write_run(files))
    assert run.steps[1].loss is None
    assert run.blocks[0].log10_condition_number is None
    assert run.blocks[1].log10_condition_number == 412.5


def test_characters_that_no_page_can_hold_are_replaced(make_run, write_run):
    files = make_run(steps=1)
    files["blocks"][0]["name"] = "a\ud800b\x00c\x1b[0m"
    assert read_run(write_run(files)).blocks[0].name == "a\ufffdb\ufffdc\ufffd[0m"


@pytest.mark.parametrize("found", [99, "1", None])
def test_another_schema_is_told_before_a_field_that_only_it_has(found, tmp_path) -> None:
    file = tmp_path / "options.json"
    file.write_text(json.dumps({"schema_version": found, "a_field_of_that_schema": 1}))
    with pytest.raises(RunFileError, match=rf"schema_version is {found!r}, and this version of qnewton reads 1"):
        read_version(file, GridHead, 1)


def test_a_long_run_is_not_kept(make_run, write_run, monkeypatch):
    files = make_run(steps=600)
    run = write_run(files)
    short = read_run(run)
    monkeypatch.setattr(lines, "KEPT", 5)
    long = read_run(run)
    assert not isinstance(long.blocks, tuple), "each line is decoded when it is asked for"
    for name in ("steps", "blocks", "decided"):
        kept, asked = getattr(short, name), getattr(long, name)
        assert len(asked) == len(kept)
        assert list(asked) == list(kept)
        assert [asked[place] for place in (0, 299, 300, -1)] == [kept[place] for place in (0, 299, 300, -1)]
        assert list(asked[-3:2:-290]) == list(kept[-3:2:-290])
    assert long.notes == short.notes == ()


def test_a_manifest_knows_of_a_summary_that_is_missing(make_run, write_run):
    run = write_run(make_run(steps=2))
    RunDirectory(run).seal()
    (run / "summary.json").unlink()
    (note,) = read_run(run).notes
    assert "summary.json is missing: manifest.json has it, so the run was killed at its very end, or" in note
