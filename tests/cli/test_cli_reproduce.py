"""`qnewton reproduce`: every evaluation at a tiny size, how it goes on, what it draws, and what it refuses."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import qnewton as q
from qnewton._hardware import KernelTimes
from qnewton.lab._cli import main
from qnewton.lab._cli import reproduce as cli
from qnewton.lab._experiments import prepare
from qnewton.lab._experiments.reproduce import carry_out, language
from qnewton.lab._experiments.reproduce.base import Finished, Result
from qnewton.lab._experiments.reproduce.decisions import SETS, break_even_s, decide, priced
from qnewton.lab._experiments.reproduce.directory import ReproductionDirectory
from qnewton.lab._experiments.reproduce.registry import EVALUATIONS
from qnewton.lab._experiments.reproduce.trainings import newton
from qnewton.lab._experiments.task_options import TASKS, Registered, kind_of
from qnewton.lab._experiments.tasks.base import Task
from qnewton.lab._runfile import BlockSeconds, RunDirectory, StageSeconds, StepLine, read_summary

SMALL = (
    *("--mlp.task", "tiny", "--mlp.steps", "3", "--mlp.batch-size", "8"),
    *("--first-order.steps", "3", "--first-order.rates", "0.5"),
    *("--sweeps.steps", "2", "--sweeps.keep", "0.5", "1", "--sweeps.damping", "0.01", "1"),
    *("--language.steps", "2", "--language.rates", "0.5", "--language.adamw-rates", "0.01"),
    *("--language.batch-size", "8"),
    *("--inversion.measured", "4", "8", "16", "--inversion.largest", "1000", "--gate-times.per-decade", "1"),
)
_MLP = SMALL[: SMALL.index("--first-order.steps")]
_ONE = ("reproduce", "kappa-share", *_MLP, "--inversion.measured", "4", "8", "16")
RUNS = {
    *("newton", "newton-lu", "newton-default", "sgd-0.5", "keep-0.5", "keep-1", "damping-0.01", "damping-1"),
    *("bert-sgd-0.5", "bert-adamw-0.01", "bert-fisher-newton", "gpt-sgd-0.5", "gpt-adamw-0.01", "gpt-fisher-newton"),
}


def _language(tiny: Callable[[str], Task], name: str) -> Callable[[str, Any], Task]:
    """The tiny task under the names of a transformer's parameters."""

    def make(dtype: str, options: Any) -> Task:
        task = tiny(dtype)

        def renamed(params: Any) -> Any:
            return {"bias": params["head"], "weight": params["query"]}

        def init(key: Any) -> Any:
            params = task.init(key)
            return {"head": params["bias"], "query": params["weight"]}

        return dataclasses.replace(
            task,
            name=name,
            init=init,
            objective=q.Objective(lambda p, x: task.objective.predict(renamed(p), x), task.objective.loss),
            accuracy=None,
        )

    return make


def _machine(solvers: Any, *, dtype: str, sizes: Any) -> q.ClassicalMachine:
    samples = tuple((n, 1e-6 * n, 1e-6 * n) for n in sizes)
    names = ("cholesky", "lu", "cg", "cg, unformed", "forming")
    return q.ClassicalMachine(
        "made by hand", dtype, tuple((name, KernelTimes(1e-6, 1e-10, 1e-10, samples)) for name in names), 1e-3
    )


def _stages(objective: Any, curvature: Any, conditioning: Any, estimator: Any, blocks: Any, *_: Any, **__: Any) -> Any:
    return StageSeconds(
        gradient=1e-4,
        blocks=tuple(
            BlockSeconds(name=block.name, n=block.n, curvature=1e-4, conditioning=1e-5, estimation=1e-5)
            for block in blocks
        ),
    )


@pytest.fixture(scope="module", autouse=True)
def _made_tasks() -> Iterator[None]:
    from .conftest import tiny

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "tiny", Registered(tiny))
        for name in ("bert-tiny", "gpt-tiny"):
            patch.setitem(TASKS, name, Registered(_language(tiny, name), kind_of(name)))
        patch.setattr(carry_out, "calibrate", _machine)
        # Most of a tiny training is to compile and time its stages, which tests/experiments does.
        patch.setattr(language, "measure_stages", _stages)
        patch.setattr(prepare, "measure_stages", _stages)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All evaluations, once for all tests of this file; nobody writes into it."""
    path = tmp_path_factory.mktemp("reproduce") / "all"
    assert main(["reproduce", "all", *SMALL, "--out", str(path)]) == 0
    return path


def _numbers(done: Path, name: str) -> Any:
    return json.loads((done / "figures" / f"{name}.json").read_text())["numbers"]


def test_all_evaluations_leave_run_files_numbers_and_one_page(done: Path) -> None:
    assert {path.name for path in (done / "runs").iterdir()} == RUNS
    for run in RUNS:
        assert json.loads((done / "runs" / run / "summary.json").read_text())["status"] == "finished"
    assert {path.stem for path in (done / "figures").iterdir()} == set(EVALUATIONS)
    page = (done / "report.html").read_text()
    for name, evaluation in EVALUATIONS.items():
        assert f'<section id="{name}">' in page
        assert evaluation.question in page
    assert re.search("tuned AdamW (is there|ends) ", page)
    assert page.index('<section class="glance" id="claims">') < page.index('id="glance"')
    assert "<script" not in page
    assert "://" not in page


@pytest.mark.parametrize("name", ["training-time-bert", "training-time-gpt"])
def test_adamw_is_measured_beside_sgd_and_the_best_of_its_rates_counts(done: Path, name: str) -> None:
    found = _numbers(done, name)
    assert [row["label"] for row in found["measured"]] == ["SGD, rate 0.5", "AdamW, rate 0.01", "Newton, our default"]
    assert [(row["optimizer"], row["rate"]) for row in found["rates"]] == [("SGD", 0.5), ("AdamW", 0.01)]
    assert found["target"] == found["rates"][0]["test_loss"] == found["measured"][0]["test_loss"]
    assert found["measured"][1]["test_loss"] == found["rates"][1]["test_loss"] != found["target"]


def test_the_best_rate_is_that_of_the_lowest_loss_and_never_a_diverged_one(done: Path) -> None:
    summary = read_summary(done / "runs" / "newton")
    losses = {0.1: 3.0, 0.2: 2.0, 0.3: None, 0.4: 2.5}
    trials = [
        (
            "AdamW",
            rate,
            Result(Path(), None if loss is None else msgspec.structs.replace(summary, test_loss=loss), None),
        )
        for rate, loss in losses.items()
    ]
    best = language._best(trials)
    assert best is not None
    assert best[1] == 0.2
    assert language._best(trials[2:3]) is None


def test_stages_are_measured_once_for_trainings_that_do_the_same_work(done: Path) -> None:
    def shared(run: str) -> bool:
        return json.loads((done / "runs" / run / "calibration.json").read_text())["stages_shared"]

    kept = {run: shared(run) for run in ("newton", "newton-lu", "damping-0.01", "damping-1", "keep-0.5", "keep-1")}
    # In the order in which they were trained: every r shares, every keep ratio has its own.
    assert list(kept.values()).count(False) == 3, kept
    assert not kept["keep-0.5"]
    assert not kept["keep-1"]


def test_decisions_on_the_host_are_those_of_a_replay(done: Path) -> None:
    """The same systems under the same sets, charged in the compiled float32 program and here in numpy."""
    from qnewton.lab._experiments.replay import Question, replay

    directory = ReproductionDirectory.read(done)
    systems = Finished(directory).result(newton(directory.options)).systems
    _, replayed = replay(done / "runs" / "newton", Question(assumptions=SETS))
    for one in replayed:
        price = priced(systems, one.assumed, directory.options)
        quantum = [decision.seconds["QLSA(jennings2023v1)"] for decision in one.decisions]
        np.testing.assert_allclose(np.ravel(price.seconds(directory.options.gate_time_s)), quantum, rtol=1e-4)
        decided = decide(systems, price, directory.options.gate_time_s)
        assert decided.share == one.quantum_share
        assert decided.solve_s == pytest.approx(one.solve_seconds, rel=1e-4)
        even = float(break_even_s(systems, price).max())
        assert decide(systems, price, 0.99 * even).share > 0
        assert decide(systems, price, 1.01 * even).share == 0


def test_totals_agree_with_the_run_s_own(done: Path) -> None:
    summary = json.loads((done / "runs" / "newton" / "summary.json").read_text())
    lu, paper, end, free = _numbers(done, "training-time-mlp")["predicted"]
    assert paper["predicted_seconds"] == pytest.approx(summary["predicted_seconds"]["paper"], rel=1e-4)
    assert lu["predicted_seconds"] == pytest.approx(summary["predicted_seconds_all_classical"], rel=1e-4)
    assert free["predicted_seconds"] < lu["predicted_seconds"] <= end["predicted_seconds"]


def test_the_same_command_does_nothing_again_and_replot_draws_again(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(done, mine)
    before = {path: path.stat().st_mtime_ns for path in (mine / "runs").rglob("*") if path.is_file()}
    assert main(["reproduce", "all", *SMALL, "--out", str(mine)]) == 0
    assert capsys.readouterr().err.count("done before") == 3 + len(RUNS)
    assert main(["reproduce", "all", "--replot", str(mine)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("What the paper claims\nUp to 90 % less time than classical Newton\n  under paper: ")
    assert main(["reproduce", "keep-ratio", "--replot", str(mine), "--json", "--figures", "pdf"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    answers = json.loads(said.out)
    (answered,) = answers["found"]
    assert answered.keys() == {"question", "paper", "end_to_end", "besides"}
    assert answers["claims"] == []
    assert list((mine / "figures").glob("*.pdf"))
    assert '<section id="keep-ratio">' in (mine / "keep-ratio.html").read_text()
    assert (mine / "report.html").read_text() == (done / "report.html").read_text()
    assert {path: path.stat().st_mtime_ns for path in (mine / "runs").rglob("*") if path.is_file()} == before


def test_a_stopped_reproduction_goes_on_where_it_was(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = []

    def train(name: str, options: Any, directory: Any, watcher: Any, held: Any) -> Any:
        trained.append(directory.path.name)
        if len(trained) == 2:
            directory.write("config.json", {})
            raise KeyboardInterrupt
        shutil.copytree(done / "runs" / directory.path.name, directory.path, dirs_exist_ok=True)
        return read_summary(directory.path)

    monkeypatch.setattr(carry_out, "train", train)
    arguments = ["reproduce", "regularisation", "--mlp.task", "tiny", "--mlp.batch-size", "8", "--sweeps.steps", "2"]
    arguments += ["--sweeps.damping", "0.01", "1", "--inversion.measured", "4", "8", "16"]
    arguments += ["--out", str(tmp_path / "found")]
    assert main(arguments) == 130
    assert f"--out {tmp_path / 'found'} goes on" in capsys.readouterr().err
    first = (tmp_path / "found" / "runs" / "damping-0.01" / "summary.json").read_bytes()
    assert main(["reproduce", "regularisation", "--replot", str(tmp_path / "found")]) == 2
    assert "the training damping-1 is not finished" in capsys.readouterr().err

    assert main(arguments) == 0
    assert trained == ["damping-0.01", "damping-1", "damping-1"]
    said = capsys.readouterr().err
    assert "damping-1: trained anew, and what there was is in" in said
    assert "config.json: schema_version is None, and this version of qnewton reads 9" in said
    runs = tmp_path / "found" / "runs"
    assert {path.name for path in runs.iterdir()} == {"damping-0.01", "damping-1", "damping-1.stopped-1"}
    assert (runs / "damping-0.01" / "summary.json").read_bytes() == first

    # Another reproduction does not go there.
    assert main([*arguments, "--seed", "1"]) == 2
    assert "--seed is 1, and" in capsys.readouterr().err
    arguments[1] = "kappa-share"
    assert main(["reproduce", "kappa-share", "--out", str(tmp_path / "found")]) == 2
    assert "is a reproduction of regularisation, not of kappa-share" in capsys.readouterr().err
    assert main(["reproduce", "kappa-share", "--replot", str(tmp_path / "found")]) == 2


@pytest.fixture(scope="module")
def halted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduction whose only training was stopped by Ctrl-C after two of its three steps; nobody writes into it."""

    def stop(self: Any, step: StepLine, blocks: Any) -> None:
        if step.step == 1:
            raise KeyboardInterrupt

    path = tmp_path_factory.mktemp("halted") / "found"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli._Piece, "step", stop)
        assert main([*_ONE, "--out", str(path)]) == 130
    return path


def _unclocked(path: Path) -> Any:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    clocked = ("measured", "crc32")
    return [{key: value for key, value in line.items() if not key.startswith(clocked)} for line in lines]


def test_a_training_that_was_stopped_half_way_goes_on_bitwise(done: Path, halted: Path, tmp_path: Path) -> None:
    shutil.copytree(halted, tmp_path / "moved")
    run, whole = tmp_path / "moved" / "runs" / "newton", done / "runs" / "newton"
    before = {name: (run / name).read_bytes() for name in ("config.json", "steps.jsonl", "blocks.jsonl")}
    assert len(before["steps.jsonl"].splitlines()) == 2
    assert main([*_ONE, "--out", str(tmp_path / "moved")]) == 0
    assert [path.name for path in run.parent.iterdir()] == ["newton"]
    for name, content in before.items():
        assert (run / name).read_bytes().startswith(content)
    assert [line["step"] for line in _unclocked(run / "resumes.jsonl")] == [2]
    for name in ("steps.jsonl", "blocks.jsonl"):
        assert _unclocked(run / name) == _unclocked(whole / name)
    ends = [json.loads((path / "summary.json").read_text()) for path in (run, whole)]
    for name in ("status", "final_loss", "test_loss", "test_accuracy", "predicted_seconds"):
        assert ends[0][name] == ends[1][name]


def _no_checkpoint(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def _damaged(run: Path) -> None:
    next(file for file in (run / "checkpoints" / "2" / "arrays").rglob("*") if file.is_file()).write_text("nothing")


def _nothing_yet(run: Path) -> None:
    (run / "config.json").unlink()


def _another_version(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["versions"]["qnewton"] = "0.0.0"
    config["digests"] = {}
    (run / "config.json").write_text(json.dumps(config))
    (run / "manifest.json").unlink()


def _other_options(run: Path) -> None:
    for file in (run / "config.json", run / "checkpoints" / "2" / "about.json"):
        content = json.loads(file.read_text())
        (content if file.name == "config.json" else content["identity"])["options"]["step"]["clip"] = 7.0
        content.pop("digests", None)
        file.write_text(json.dumps(content))
    (run / "manifest.json").unlink()


SPOILT = {
    "it was stopped before its first checkpoint": _no_checkpoint,
    "it was stopped before its first checkpoint; .*checkpoints/2": _damaged,
    "it was stopped before its first step": _nothing_yet,
    "began elsewhere: version of qnewton '0.0.0', here": _another_version,
    "it was begun with other options": _other_options,
}


@pytest.mark.parametrize(("why", "spoil"), SPOILT.items(), ids=[spoil.__name__ for spoil in SPOILT.values()])
def test_what_cannot_go_on_is_set_aside_and_trained_anew(
    why: str, spoil: Callable[[Path], None], halted: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(name: str, options: Any, directory: Any, watcher: Any, held: Any) -> Any:
        shutil.copytree(done / "runs" / "newton", directory.path, dirs_exist_ok=True)
        return read_summary(directory.path)

    said = []
    monkeypatch.setattr(carry_out, "train", train)
    monkeypatch.setattr(cli.PieceProgress, "note", lambda self, number, total, name, what: said.append((name, what)))
    shutil.copytree(halted, tmp_path / "found")
    runs = tmp_path / "found" / "runs"
    spoil(runs / "newton")
    files = {path.name: path.read_bytes() for path in (runs / "newton").iterdir() if path.is_file()}
    assert main([*_ONE, "--out", str(tmp_path / "found")]) == 0
    [(name, what)] = said
    assert name == "newton"
    assert re.search(why, what)
    aside = runs / "newton.stopped-1"
    assert str(aside) in what
    assert {path.name: path.read_bytes() for path in aside.iterdir() if path.is_file()} == files
    assert not (runs / "newton" / "resumes.jsonl").exists()


def test_a_training_that_another_process_is_at_is_left_to_it(
    halted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(halted, tmp_path / "found")
    runs = tmp_path / "found" / "runs"
    with RunDirectory(runs / "newton").owned():
        assert main([*_ONE, "--out", str(tmp_path / "found")]) == 2
    assert "belongs to a run that is going on" in capsys.readouterr().err
    assert [path.name for path in runs.iterdir()] == ["newton"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keep-ration",), "unknown figure 'keep-ration': did you mean 'keep-ratio'?"),
        (("all", "--size", "papr"), "unknown size 'papr': did you mean 'paper'?"),
        (("keep-ratio", "--language.hidden", "64"), "--language.hidden is 64, and keep-ratio does not read it"),
        (("inversion-time", "--mlp.width", "8"), "and inversion-time does not read it"),
        (("keep-ratio", "--sweeps.keep", "0", "1"), "--sweeps.keep holds 0.0: a ratio lies in (0, 1]"),
        (("keep-ratio", "--sweeps.keep", "1"), "name at least 2 values"),
        (("regularisation", "--sweeps.damping", "0", "1"), "r is positive and finite"),
        (("kappa-share", "--mlp.task", "digit-mlp"), "unknown task 'digit-mlp': did you mean 'digits-mlp'?"),
        (("kappa-share", "--mlp.data", "here"), "--mlp.data is for mnist-mlp"),
        (("gate-times", "--gate-times.fastest", "1"), "--gate-times.fastest is 1.0"),
        (("training-time-bert", "--language.heads", "5"), "it must be a multiple of --heads"),
        (("inversion-time", "--inversion.kappas", "0.5"), "a condition number is finite and at least 1"),
        (("kappa-share", "--replot", "nowhere"), "nowhere holds no reproduction.json"),
    ],
)
def test_bad_input_is_refused(
    call: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    outcome = call("reproduce", *arguments)
    assert outcome.status == 2
    assert message in outcome.said
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_refused_before_anything_is_written(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(name: str, n: int, itemsize: int) -> None:
        raise MemoryError(f"the dense block `{name}` has {n:,} rows")

    monkeypatch.setattr(carry_out, "check_block_fits", refused)
    outcome = call("reproduce", "kappa-share", "--mlp.task", "tiny")
    assert outcome.status == 2
    assert "has 3 rows" in outcome.said
    assert not list(tmp_path.iterdir())


def test_the_page_can_be_read_in_every_window(done: Path, opened: Callable[[Path], list[dict[str, Any]]]) -> None:
    for found in opened(done / "report.html"):
        assert found["sections"] == len(EVALUATIONS) + 2
