"""Every command that opens a run reads it in the same way, and refuses it in the same words."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qnewton.lab._cli import main
from qnewton.lab._runfile import SCHEMA_VERSION, RunFileError, read_config, read_run, set_totals

# Written by the commits at which schema 6 began and ended, by `qnewton train digits-mlp --width 2 --depth 1 --steps 3`;
# `complete` with `--preset kfac`, the others with `--preset paper`.
SCHEMA_6 = Path(__file__).parent / "schema6"
# Written by the last commit of schema 7, with `--preset blocks --partition per-tensor --no-adapt-damping`. `scheduled`:
# `--solvers lu cg qlsa --preconditioner jacobi --rtol 1e-4 --policy kappa-threshold --kappa-threshold 100 --estimator
# probabilistic --precision 0.05 --gate-time-s 1e-12`. `emulated`: `--solvers cholesky qlsa --fidelity emulated --shots
# 1000 --quantum-damping 0.5 --policy fixed --fixed-solver qlsa --curvature empirical-fisher-published --damping 1`.
SCHEMA_7 = Path(__file__).parent / "schema7"
# Written by the last commit of schema 8, as those of schema 6: `complete` with `--preset kfac`, `scheduled` with
# `--preset blocks --partition per-tensor --no-adapt-damping --curvature hessian --solvers cholesky qlsa --gate-time-s
# 1e-12 --damping 0.2`; without report, parameters and manifest.
SCHEMA_8 = Path(__file__).parent / "schema8"
# Of all of the lines, and of `config.json` alone.
READERS = {
    "report": ("report", "RUN"),
    "explain": ("explain", "RUN", "--step", "-1"),
    "replay": ("replay", "RUN"),
    "plan": ("plan", "RUN", "--hardware", "superconducting", "nvidia-h100-sxm"),
    "breakeven": ("breakeven", "RUN", "--assumptions", "paper", "--hardware", "superconducting", "nvidia-h100-sxm"),
}
OPENERS = {
    **READERS,
    "learn": ("calibrate", "--learn", "RUN"),
    "resume": ("train", "--resume", "RUN"),
    "spectrum": ("spectrum", "RUN"),
}


def changed(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def changed_lines(file: Path, change: Callable[[list[str]], object]) -> None:
    lines = file.read_text().splitlines()
    change(lines)
    file.write_text("".join(f"{line}\n" for line in lines))


def lines_of(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the present schema: that of schema 6, brought up to date by hand."""
    path = shutil.copytree(SCHEMA_6 / "first", tmp_path / "run")
    for name in ("config.json", "summary.json"):
        changed(path / name, lambda content: content.update(schema_version=SCHEMA_VERSION))
    changed(path / "config.json", lambda content: content["options"]["scheduling"].update(second_estimator=None))
    new = {"independence": None, "second_log10_condition_number": None, "second_condition_number_kind": None}
    (path / "blocks.jsonl").write_text(
        "".join(json.dumps(renamed(line) | new) + "\n" for line in lines_of(path / "blocks.jsonl"))
    )
    changed(path / "summary.json", renamed)
    width = len(json.loads((path / "config.json").read_text())["model"]["blocks"])
    new = {"predicted_schedule": {}, "systems": width}
    (path / "steps.jsonl").write_text("".join(json.dumps(line | new) + "\n" for line in lines_of(path / "steps.jsonl")))
    return path


def renamed(content: Any) -> Any:
    """With `execution` for `fidelity`."""
    execution = content.pop("fidelity")
    content["execution"] = "modelled" if execution == "model" else execution
    return content


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`said(name, path)`: status and words of a command on a run."""
    monkeypatch.chdir(tmp_path)

    def call(name: str, path: Path) -> tuple[Any, str]:
        capsys.readouterr()
        status = main([str(path) if word == "RUN" else word for word in OPENERS[name]])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return call


def torn(run: Path) -> None:
    """As kill -9 leaves it."""
    for name in ("steps.jsonl", "blocks.jsonl"):
        (run / name).write_bytes((run / name).read_bytes()[:-100])
    (run / "summary.json").unlink()


@pytest.mark.parametrize("name", READERS)
def test_a_torn_run_is_read_as_far_as_it_goes(name: str, run: Path, said: Callable[..., Any]) -> None:
    whole = read_run(run)
    torn(run)
    status, words = said(name, run)
    assert status == 0, words
    found = read_run(run)
    assert found.steps == whole.steps[:2]
    assert found.blocks == whole.blocks[:-1]
    assert list(found.decided) == list(whole.decided[:2])
    shown = (run / "report.html").read_text() if name == "report" else words
    for file, line in (("steps.jsonl", 3), ("blocks.jsonl", 12)):
        assert f"{file}: the last line ({line}) is cut off and was left out" in " ".join(shown.split())


NOW: dict[str, str] = {"fidelity": "execution"}


OLDER = [
    *(SCHEMA_6 / which for which in ("first", "last")),
    *(SCHEMA_7 / which for which in ("scheduled", "emulated")),
    *(SCHEMA_8 / which for which in ("scheduled", "complete")),
]


# `breakeven` reads as `plan` does, and takes its time.
@pytest.mark.parametrize("old", OLDER, ids=lambda path: f"{path.parent.name}-{path.name}")
@pytest.mark.parametrize("name", [name for name in READERS if name != "breakeven"])
def test_a_run_of_an_older_schema_opens(name: str, old: Path, tmp_path: Path, said: Callable[..., Any]) -> None:
    status, words = said(name, shutil.copytree(old, tmp_path / "run"))
    if (name, old.name) == ("plan", "complete"):
        assert status == 2
        assert "a complete optimizer, which has no blocks" in words
        return
    assert status == 0, words
    if name == "replay":
        assert f"all {6 if old.name == 'complete' else 12} decisions are the run's" in words


def test_groups_of_schema_8_are_lines_of_their_own() -> None:
    found, steps = read_run(SCHEMA_8 / "complete"), lines_of(SCHEMA_8 / "complete" / "steps.jsonl")
    assert [len(step["systems"] or ()) for step in steps] == [step.systems for step in found.steps] == [2, 0, 0]
    assert (list(found.decided), found.held, found.notes) == ([found.blocks], (3,), ())
    for line, group in zip(found.blocks, steps[0]["systems"], strict=True):
        assert (line.n, line.count, line.name) == (group["rows"], group["count"], group["name"])
        for name, entry in line.assumptions.items():
            old = group["assumptions"][name]
            assert entry.predicted_seconds == old["predicted_seconds"] | old["modelled_seconds"]
            assert (entry.choice, entry.verdict, list(entry.at_least)) == (
                old["choice"],
                old["verdict"],
                old["at_least"],
            )
            assert list(entry.queries) == list(old["modelled_seconds"])
            assert entry.machine == "classical"
    totals = json.loads((SCHEMA_8 / "complete" / "summary.json").read_text())["systems"]
    for name, one in set_totals(found.decided, found.held).items():
        assert one.predicted_seconds == pytest.approx(totals[name]["predicted_seconds"], rel=1e-12)
        assert (one.solved_by, one.open, one.modelled_seconds) == (totals[name]["solved_by"], 0, 0)


def test_a_group_of_schema_8_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = shutil.copytree(SCHEMA_8 / "complete", tmp_path / "run")

    def without_rows(lines: list[str]) -> None:
        record = json.loads(lines[0])
        del record["systems"][0]["rows"], record["crc32"]
        lines[:] = [json.dumps(record)]

    changed_lines(path / "steps.jsonl", without_rows)
    with pytest.raises(RunFileError, match=r"steps.jsonl: the field 'rows' is missing; it must be an integer"):
        read_run(path)


def test_a_system_that_nobody_could_take_has_no_choice(tmp_path: Path) -> None:
    path = shutil.copytree(SCHEMA_7 / "scheduled", tmp_path / "run")

    def refused(lines: list[str]) -> None:
        record = json.loads(lines[0])
        entry = record["assumptions"]["paper"]
        entry |= {"verdict": "nobody", "refused": dict.fromkeys(entry["predicted_seconds"], "not finite")}
        lines[0] = json.dumps(record)

    changed_lines(path / "blocks.jsonl", refused)
    first, second, *_ = read_run(path).blocks
    assert (first.assumptions["paper"].choice, first.assumptions["paper"].machine) == (None, None)
    assert second.assumptions["paper"].choice is not None


def test_the_options_of_schema_7_are_the_present_ones() -> None:
    from qnewton.lab._experiments.saved import train_options

    options = {one: train_options(SCHEMA_7 / one, read_config(SCHEMA_7 / one)) for one in ("scheduled", "emulated")}
    scheduled, emulated = (options[one].scheduling for one in ("scheduled", "emulated"))
    assert scheduled.solvers == ("lu", "cg(preconditioner=jacobi, rtol=0.0001)", "qlsa(precision=0.05)")
    assert scheduled.policy == "kappa-threshold(threshold=100)"
    assert scheduled.estimator == "probabilistic-lanczos"
    inner = "emulated-qsvt(measurement=shots(number=1000), length=line-fit)"
    own = f"conditioned(inner={inner}, conditioning=(damp(relative=0.5),), always=True)"
    assert emulated.solvers == ("cholesky", own)
    assert emulated.policy == "fixed-candidate(name=conditioned)"
    assert options["emulated"].conditioning.conditioners == ("damp(relative=1)",)
    assert options["emulated"].conditioning.adaptation == "fixed"
    assert options["emulated"].step.curvature == "empirical-fisher(damping_floor=0)"
    assert {line.execution for line in read_run(SCHEMA_7 / "emulated").blocks} == {"emulated"}


def test_a_run_of_schema_6_keeps_every_number() -> None:
    for which in ("first", "last", "complete"):
        found = read_run(SCHEMA_6 / which)
        assert found.notes == ()
        assert found.config.schema_version == 6
        for name, records in (("steps.jsonl", found.steps), ("blocks.jsonl", found.blocks)):
            if name == "blocks.jsonl" and which == "complete":
                assert records == ()
                continue
            for line, record in zip(lines_of(SCHEMA_6 / which / name), records, strict=True):
                for field, value in line.items():
                    if not isinstance(value, dict | list):
                        assert getattr(record, NOW.get(str(field), str(field))) == {"model": "modelled"}.get(
                            value, value
                        )
    complete = read_run(SCHEMA_6 / "complete")
    assert [step.predicted_schedule for step in complete.steps] == [{}] * 3
    assert {line.independence for line in read_run(SCHEMA_6 / "first").blocks} == {None}
    assert None not in {line.independence for line in read_run(SCHEMA_6 / "last").blocks}


def test_a_run_of_schema_6_is_not_gone_on_with(tmp_path: Path, said: Callable[..., Any]) -> None:
    status, words = said("resume", shutil.copytree(SCHEMA_6 / "last", tmp_path / "run"))
    assert status == 2
    assert "the run was written by another version (schema_version 6, here 9)" in words


def schema(number: object) -> Callable[[Path], None]:
    return lambda run: changed(run / "config.json", lambda content: content.update(schema_version=number))


def in_options(run: Path) -> None:
    changed(run / "config.json", lambda content: content["options"]["training"].update(steps="many"))


def no_seed(run: Path) -> None:
    changed(run / "config.json", lambda content: content.pop("seed"))


def unknown(run: Path) -> None:
    changed(run / "config.json", lambda content: content.update(sead=1))


READ = (
    "and this version of qnewton reads 9, and 6 to 8, which it migrates: open it with the qnewton that its 'versions' "
    "name"
)
CONFIG = {
    "schema 5": (schema(5), f"run/config.json: schema_version is 5, {READ}"),
    "schema 10": (schema(10), f"run/config.json: schema_version is 10, {READ}"),
    "no schema": (schema(None), f"run/config.json: schema_version is None, {READ}"),
    "missing": (
        lambda run: (run / "config.json").unlink(),
        "run holds no config.json: it is not the directory of a run",
    ),
    "no object": (lambda run: (run / "config.json").write_text("[]"), "run/config.json: the whole of it is a list; it"),
    "no JSON": (lambda run: (run / "config.json").write_text("{"), "run/config.json: not JSON in UTF-8: Expecting"),
    "field missing": (no_seed, "run/config.json: the field 'seed' is missing; it must be an integer"),
    "field unknown": (unknown, "run/config.json: the field 'sead' is not a field of this record"),
}


@pytest.mark.parametrize(("damage", "words"), CONFIG.values(), ids=CONFIG.keys())
def test_a_config_that_cannot_be_read_is_refused_in_the_same_words(
    damage: Callable[[Path], object], words: str, run: Path, said: Callable[..., Any]
) -> None:
    damage(run)
    found = {name: said(name, run) for name in OPENERS}
    assert {status for status, _ in found.values()} == {2}
    # Of `train`, which says first that it starts.
    assert len({re.sub(r"^starting \.\.\.\n", "", text) for _, text in found.values()}) == 1, found
    assert words in found["report"][1]


def wrong(field: str, value: object) -> Callable[[Path], None]:
    def change(lines: list[str]) -> None:
        lines[1] = json.dumps(json.loads(lines[1]) | {field: value})

    return lambda run: changed_lines(run / "blocks.jsonl", change)


def cut_in_the_middle(run: Path) -> None:
    changed_lines(run / "blocks.jsonl", lambda lines: lines.__setitem__(1, lines[1][:50]))


def without(run: Path) -> None:
    changed_lines(run / "blocks.jsonl", lambda lines: lines.__setitem__(1, lines[1].replace('"degree"', '"degrees"')))


LINES = {
    "wrong type": (wrong("degree", "many"), "line 2: the field 'degree' is the string 'many'; it must be an integer"),
    "wrong type inside": (
        wrong("kinds", {"degree": 3}),
        "line 2: the field 'kinds.max_entry' is missing; it must be one of 'bound'",
    ),
    "acting": (
        wrong("acting", "mine"),
        "line 2: the field 'acting' is the string 'mine'; it must be one of the assump",
    ),
    "field missing": (without, "line 2: the field 'degree' is missing; it must be an integer"),
    "cut in the middle": (cut_in_the_middle, "line 2: not JSON in UTF-8: Unterminated string"),
}


@pytest.mark.parametrize(("damage", "words"), LINES.values(), ids=LINES.keys())
def test_a_line_that_cannot_be_read_is_refused_in_the_same_words(
    damage: Callable[[Path], object], words: str, run: Path, said: Callable[..., Any]
) -> None:
    damage(run)
    found = {said(name, run) for name in (*READERS, "learn")}
    assert len(found) == 1, found
    [(status, text)] = found
    assert status == 2
    assert f"run/blocks.jsonl, {words}" in text


def test_a_run_without_a_step_has_nothing_to_decide(run: Path, said: Callable[..., Any]) -> None:
    (run / "blocks.jsonl").unlink()
    assert said("report", run)[0] == 0
    found = {said(name, run) for name in (*READERS, "learn") if name != "report"}
    assert len(found) == 1, found
    [(status, text)] = found
    assert status == 2
    assert "run/blocks.jsonl holds no whole step: the run ended before its first one" in text


def test_steps_that_are_gone_are_named_by_all_that_miss_them(run: Path, said: Callable[..., Any]) -> None:
    for name in ("steps.jsonl", "summary.json"):
        (run / name).unlink()
    found = {said(name, run) for name in READERS if name != "report"}
    assert {status for status, _ in found} == {2}
    assert all("steps.jsonl is missing" in text for _, text in found)


def test_options_of_another_type_are_refused_by_all_that_need_them(run: Path, said: Callable[..., Any]) -> None:
    in_options(run)
    found = {said(name, run) for name in ("replay", "plan", "breakeven", "learn", "spectrum", "resume")}
    assert len(found) == 1, found
    [(status, text)] = found
    assert status == 2
    assert "run/config.json: the field 'options.training.steps' is the string 'many'; it must be an integer" in text
    changed(run / "config.json", lambda content: content["options"]["training"].update(steps=0))
    assert "run/config.json: --steps is 0: it must be at least 1" in said("plan", run)[1]


def test_a_complete_optimizer_has_no_decisions(tmp_path: Path, said: Callable[..., Any]) -> None:
    path = shutil.copytree(SCHEMA_6 / "complete", tmp_path / "run")
    assert said("report", path)[0] == 0
    found = {said(name, path) for name in (*READERS, "learn") if name != "report"}
    assert len(found) == 1, found
    [(status, text)] = found
    assert status == 2
    assert (
        "run is a run of kfac, a complete optimizer, which has no blocks: there are no decisions on them in it" in text
    )


def test_a_calibration_that_cannot_be_read_is_named(run: Path, said: Callable[..., Any]) -> None:
    changed(run / "calibration.json", lambda content: content["kernels"]["lu"].update(seconds_per_call="fast"))
    for name in ("replay", "learn"):
        assert (
            "run/calibration.json: the field 'kernels.lu.seconds_per_call' is the string 'fast'" in said(name, run)[1]
        )
    (run / "calibration.json").unlink()
    assert "run/calibration.json is missing: the run's predictions rest on it" in said("replay", run)[1]
