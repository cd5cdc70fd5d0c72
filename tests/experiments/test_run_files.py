"""The files of a run are what docs/run-files.md says: every field, its type, and how the fields hang together."""

import dataclasses
import datetime
import importlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from qnewton import Damp
from qnewton._solvers.quantum.outcome import Outcome
from qnewton.lab._experiments import build, runner
from qnewton.lab._runfile import RunDirectory, StepLine, SystemLine

Check = Callable[[Any], bool]
DOCS = Path(__file__).parents[2] / "docs" / "run-files.md"


def text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def integer(value: Any) -> bool:
    return type(value) is int


def number(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def seconds(value: Any) -> bool:
    return number(value) and value >= 0


def or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def one_of(*allowed: str) -> Check:
    return lambda value: value in allowed


def every(check: Check, *, keys: set[str] | None = None) -> Check:
    """An object with any keys (or these) and such values."""
    return lambda value: (
        isinstance(value, dict) and (keys is None or set(value) == keys) and all(check(item) for item in value.values())
    )


def items(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


class Record:
    """An object with exactly these fields; says which one is wrong."""

    def __init__(self, **fields: Check):
        self.fields = fields

    def __call__(self, value: Any) -> bool:
        assert isinstance(value, dict), value
        assert list(value) == list(self.fields), "fields and their order"
        for name, check in self.fields.items():
            assert check(value[name]), f"{name}: {value[name]!r}"
        return True


def utc(value: Any) -> bool:
    return datetime.datetime.fromisoformat(value).utcoffset() == datetime.timedelta(0)


def pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and seconds(value[0]) and or_null(seconds)(value[1])


MACHINE = Record(
    platform=text,
    processor=text,
    cores=integer,
    backend=text,
    device=text,
    usable_cores=integer,
    xla_flags=or_null(text),
)
CONFIG = Record(
    schema_version=lambda value: value == 9,
    task=text,
    preset=one_of("blocks", "paper", "paper-code"),
    optimizer=one_of("newton"),
    options=lambda value: isinstance(value, dict),
    seed=integer,
    started=utc,
    versions=every(text),
    machine=MACHINE,
    commit=or_null(text),
    model=Record(description=text, parameters=integer, blocks=items(Record(name=text, n=integer))),
    data=Record(description=text, train=integer, test=integer, batch=integer, digests=every(text)),
    family=lambda value: value is None,
    task_digest=lambda value: value is None,
    digests=every(text, keys={"config", "calibration"}),
)
KERNEL = Record(
    seconds_per_call=seconds,
    seconds_per_byte=seconds,
    seconds_per_flop=seconds,
    learned_factor=seconds,
    samples=items(Record(n=integer, measured_seconds=seconds, predicted_seconds=seconds)),
    bends=items(items(number)),
    worst_relative_error=seconds,
)
CALIBRATION = Record(
    machine=MACHINE,
    source=text,
    environment=lambda value: isinstance(value, dict),
    dtype=one_of("float32", "float64"),
    gemm_seconds=or_null(seconds),
    kernels=every(KERNEL),
    stages=Record(
        gradient=seconds,
        blocks=items(Record(name=text, n=integer, curvature=seconds, conditioning=seconds, estimation=seconds)),
    ),
    stages_shared=flag,
    measured_seconds=seconds,
    basis=text,
    workers=lambda value: value == [],
)
STEP = Record(
    step=integer,
    epoch=number,
    loss=number,
    train_loss=or_null(number),
    test_loss=or_null(number),
    test_accuracy=or_null(number),
    learning_rate=number,
    damping_scale=or_null(number),
    reduction_ratio=or_null(number),
    accepted=flag,
    statuses=every(integer),
    measured_seconds=seconds,
    measured_evaluation_seconds=seconds,
    predicted_seconds=every(
        Record(
            gradient=seconds,
            curvature=seconds,
            conditioning=seconds,
            estimation=seconds,
            solve_classical=seconds,
            solve_quantum=seconds,
            total=seconds,
        )
    ),
    predicted_schedule=every(
        Record(makespan_s=seconds, lower_bound_s=seconds, finish_s=every(seconds), notes=items(text))
    ),
    systems=lambda value: value > 0,
    attempts=lambda value: value == [],
)
ASSUMPTION = Record(
    choice=text,
    machine=one_of("classical", "quantum"),
    worker=or_null(text),
    verdict=one_of("chosen", "nobody", "over_budget"),
    predicted_seconds=every(or_null(seconds)),
    refused=every(text),
    queries=every(or_null(seconds)),
    copies=every(or_null(seconds)),
    success_probability=every(or_null(seconds)),
    clamped=every(flag),
    break_even_gate_time_s=every(or_null(seconds)),
    predicted_quantum_seconds_by_gate_time=every(items(pair)),
    at_least=lambda value: value == [],
)
KIND = one_of("exact", "certified", "bound", "probabilistic", "estimate")
KINDS = Record(
    degree=KIND,
    max_entry=KIND,
    frobenius_norm=KIND,
    spectral_norm=KIND,
    smallest_singular_value=KIND,
    condition_number=KIND,
    definite=KIND,
)
ACCESS = Record(
    product_flops=seconds,
    product_bytes=seconds,
    forming_flops=seconds,
    forming_bytes=seconds,
    gram_flops=seconds,
    gram_bytes=seconds,
    gram_rows=integer,
)
OWN = Record(
    solver=text,
    degree=integer,
    max_entry=seconds,
    frobenius_norm=seconds,
    spectral_norm=seconds,
    log10_condition_number=or_null(number),
    log_condition_number=or_null(number),
    condition_number_kind=KIND,
    kinds=KINDS,
    failure_probability=seconds,
    matvecs=integer,
    definite=flag,
    presumed_definite=flag,
    access=ACCESS,
    conditioning_flops=seconds,
    conditioning_bytes=seconds,
    estimation_flops=seconds,
    estimation_bytes=seconds,
    predicted_conditioning_seconds=seconds,
    predicted_estimation_seconds=seconds,
    without=every(Record(predicted_seconds=or_null(seconds), queries=or_null(seconds))),
)
BLOCK = Record(
    step=integer,
    block=integer,
    name=text,
    n=integer,
    status=one_of("ok", "not_finite", "no_candidate", "not_solved", "coupled"),
    curvature_path=one_of("layers", "jacobians", "gradients", "products", "batch", "given"),
    independence=one_of("proven", "seen", "model", "loss", "both", "alone_fails", "undecided", "declared", "presumed"),
    iterations=integer,
    expected_iterations=every(seconds),
    damping=seconds,
    damping_scale=seconds,
    reduction_ratio=or_null(number),
    kept_fraction=seconds,
    perturbation=seconds,
    degree=integer,
    max_entry=seconds,
    frobenius_norm=seconds,
    spectral_norm=seconds,
    condition_number=or_null(number),
    log10_condition_number=or_null(number),
    log_condition_number=or_null(number),
    condition_number_kind=KIND,
    second_log10_condition_number=or_null(number),
    second_condition_number_kind=or_null(KIND),
    kinds=KINDS,
    failure_probability=seconds,
    matvecs=integer,
    definite=flag,
    presumed_definite=flag,
    formed=flag,
    access=ACCESS,
    relative_residual=or_null(seconds),
    exact_residual=or_null(seconds),
    timed=every(Record(measured_seconds=seconds, iterations=integer)),
    probe_seconds=or_null(seconds),
    acting=text,
    solver=text,
    ran=text,
    execution=or_null(text),
    executed_queries=or_null(seconds),
    executed_success_probability=or_null(seconds),
    executed_outcome=or_null(one_of(*(outcome.label for outcome in Outcome))),
    assumptions=every(ASSUMPTION),
    own=every(OWN),
    count=lambda value: value == 1,
    vectors=lambda value: value == 1,
    serves=lambda value: value == 1,
    estimated=lambda value: value is True,
)
SUMMARY = Record(
    schema_version=lambda value: value == 9,
    task=text,
    preset=text,
    optimizer=one_of("newton"),
    status=one_of("finished", "interrupted"),
    steps=integer,
    final_loss=number,
    test_loss=number,
    test_accuracy=number,
    measured_seconds=seconds,
    measured_breakdown=Record(steps=seconds, evaluations=seconds, compilation=seconds, calibration=seconds),
    predicted_seconds=every(seconds),
    predicted_seconds_all_classical=seconds,
    acting=text,
    gate_time_s=seconds,
    quantum_share=seconds,
    by_gate_time=items(
        Record(gate_time_s=seconds, quantum_share=seconds, predicted_seconds=seconds, predicted_solve_seconds=seconds)
    ),
    solved_by=every(integer),
    execution=or_null(one_of("modelled", "emulated")),
    statuses=every(integer),
    systems=every(Record(predicted_seconds=seconds, modelled_seconds=seconds, solved_by=every(integer), open=integer)),
    signal=lambda value: value is None,
)


class Silent:
    """Watches and says nothing."""

    def stage(self, what: str) -> None:
        pass

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None:
        pass


@pytest.fixture(scope="module", params=["blocks", "paper", "paper-code"])
def preset_run(request, run, read_run, options_of, tmp_path_factory):
    """Two steps of a preset, and its options; the preset `blocks` really calibrates, the others by hand."""
    path = tmp_path_factory.mktemp(request.param)
    options = options_of(request.param)
    if request.param != "blocks":
        return options, run(options, path)
    try:
        runner.train("tiny", options, RunDirectory.create(path, "unused"), Silent())
    except OSError as error:
        if "too busy to be measured" not in str(error):
            raise
        pytest.skip(str(error))
    return options, read_run(path)


class TestSchema:
    def test_config(self, preset_run):
        options, files = preset_run
        assert CONFIG(files.config)
        assert files.config["task"] == "tiny"
        assert files.config["preset"] == options.preset
        assert files.config["seed"] == options.training.seed
        assert {"python", "qnewton", "jax"} <= set(files.config["versions"])
        sizes = {block["name"]: block["n"] for block in files.config["model"]["blocks"]}
        assert sizes == (
            {"params": 24} if options.preset == "blocks" else {"hidden.bias": 3, "hidden.weight": 12, "out.weight": 9}
        )
        assert files.config["model"]["parameters"] == 24
        batch = min(48, options.training.batch_size)
        data = dict(files.config["data"])
        digests = data.pop("digests")
        assert list(digests) == ["train inputs", "train targets", "test inputs", "test targets"]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests.values())
        assert data == {"description": "three clouds", "train": 48, "test": 12, "batch": batch}

    def test_every_option_is_there_with_the_value_that_acted(self, preset_run):
        options, files = preset_run

        def plain(value: Any) -> Any:
            if dataclasses.is_dataclass(value):
                return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return [plain(item) for item in value] if isinstance(value, tuple) else value

        assert files.config["options"] == plain(options)

    def test_calibration(self, preset_run):
        options, files = preset_run
        assert CALIBRATION(files.calibration)
        assert files.calibration["machine"] == files.config["machine"]
        assert files.calibration["dtype"] == "float32"
        assert {"lu"} <= set(files.calibration["kernels"]) <= {"lu", "cholesky"}
        blocks = files.calibration["stages"]["blocks"]
        assert [{"name": b["name"], "n": b["n"]} for b in blocks] == files.config["model"]["blocks"]
        for kernel in files.calibration["kernels"].values():
            errors = [abs(s["predicted_seconds"] / s["measured_seconds"] - 1) for s in kernel["samples"]]
            assert kernel["worst_relative_error"] == pytest.approx(max(errors))
            if options.preset == "blocks":
                assert max(s["n"] for s in kernel["samples"]) >= 24, "no prediction extrapolates"

    def test_steps(self, preset_run):
        options, files = preset_run
        assert all(STEP(line) for line in files.steps)
        assert [line["step"] for line in files.steps] == [0, 1]
        assert [line["epoch"] for line in files.steps] == [0.0, 16 / 48]
        assert all(set(line["predicted_seconds"]) == {"paper"} for line in files.steps)
        if options.preset == "blocks":
            assert files.steps[0]["test_accuracy"] is not None
        else:  # evaluated every tenth step, and after the last
            assert files.steps[0]["train_loss"] is None
            assert files.steps[0]["measured_evaluation_seconds"] == 0
            assert [line["reduction_ratio"] for line in files.steps] == [None, None]
        last = files.steps[-1]
        assert last["train_loss"] == files.summary["final_loss"]
        assert last["test_loss"] == files.summary["test_loss"]
        assert last["test_accuracy"] == files.summary["test_accuracy"]

    def test_blocks(self, preset_run):
        _, files = preset_run
        assert all(BLOCK(line) for line in files.blocks)
        blocks = files.config["model"]["blocks"]
        assert [(line["step"], line["block"]) for line in files.blocks] == [
            (step, block) for step in range(2) for block in range(len(blocks))
        ]
        for line in files.blocks:
            assert {"name": line["name"], "n": line["n"]} == blocks[line["block"]]

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_tables_are_read_by_the_line_in_the_documentation(self, preset_run, library, monkeypatch):
        _, files = preset_run
        (line,) = re.findall(rf"`({library}\.[^`]+)`", DOCS.read_text())
        monkeypatch.chdir(files.path)
        table = eval(line, {library: importlib.import_module(library)})
        assert set(table.columns) == {*files.blocks[0], "crc32"}
        for column in ("step", "name", "solver", "damping", "kept_fraction", "relative_residual"):
            assert table[column].to_list() == [row[column] for row in files.blocks]
        seconds = [row["predicted_seconds"] for row in table["assumptions"].to_list()[0].values()]
        assert seconds == [row["predicted_seconds"] for row in files.blocks[0]["assumptions"].values()]

    def test_summary(self, preset_run):
        options, files = preset_run
        assert SUMMARY(files.summary)
        assert files.summary["status"] == "finished"
        assert files.summary["preset"] == options.preset
        assert files.summary["gate_time_s"] == options.scheduling.gate_time_s
        assert [row["gate_time_s"] for row in files.summary["by_gate_time"]] == list(options.scheduling.gate_times_s)

    def test_a_line_agrees_with_itself(self, preset_run):
        options, files = preset_run
        names = {"cholesky": "Cholesky", "lu": "LU", "qlsa": "QLSA(jennings2023v1)"}
        candidates = [names[name] for name in options.scheduling.solvers]
        for line in files.blocks:
            assert set(line["assumptions"]) == {"paper"}
            entry = line["assumptions"][line["acting"]]
            quantum = set(entry["queries"])
            assert quantum == {"QLSA(jennings2023v1)"}
            assert list(entry["predicted_seconds"]) == candidates
            for other in (
                "success_probability",
                "clamped",
                "break_even_gate_time_s",
                "predicted_quantum_seconds_by_gate_time",
            ):
                assert set(entry[other]) == quantum
            refused = {name for name, value in entry["predicted_seconds"].items() if value is None}
            assert set(entry["refused"]) == refused
            assert ("Cholesky" in refused) is ("Cholesky" in candidates and not line["presumed_definite"])
            assert entry["choice"] == min(
                (name for name in candidates if name not in refused), key=entry["predicted_seconds"].__getitem__
            )
            assert line["solver"] == entry["choice"]
            assert entry["machine"] == ("quantum" if entry["choice"] in quantum else "classical")
            assert line["execution"] == ("modelled" if entry["machine"] == "quantum" else None)
            assert line["status"] == "ok"
            assert line["ran"] == ("LU" if entry["machine"] == "quantum" else entry["choice"])
            for name in quantum:
                gate_time_s = options.scheduling.gate_time_s
                modelled = entry["predicted_seconds"][name]
                assert modelled == pytest.approx(entry["queries"][name] * gate_time_s, rel=1e-5)
                assert entry["success_probability"][name] == pytest.approx(0.39 - 0.204 * 1e-2)
                pairs = entry["predicted_quantum_seconds_by_gate_time"][name]
                assert [gate for gate, _ in pairs] == list(options.scheduling.gate_times_s)
                for gate, value in pairs:
                    assert value == pytest.approx(entry["queries"][name] * gate, rel=1e-5)
                fastest = min(v for k, v in entry["predicted_seconds"].items() if k not in quantum and v is not None)
                assert entry["break_even_gate_time_s"][name] == pytest.approx(
                    fastest / entry["queries"][name], rel=1e-5
                )
            assert 10 ** line["log10_condition_number"] == pytest.approx(line["condition_number"])
            assert line["condition_number"] >= 1
            assert 1 <= line["degree"] <= line["n"]
            assert line["max_entry"] <= line["spectral_norm"] * (1 + 1e-5)
            assert line["relative_residual"] < 1e-2

    def test_nothing_but_the_files_of_the_schema_is_there(self, preset_run):
        _, files = preset_run
        assert {path.name for path in files.path.iterdir()} == {
            "config.json",
            "calibration.json",
            "steps.jsonl",
            "blocks.jsonl",
            "manifest.json",
            "params.npz",
            "summary.json",
        }


def test_the_presets_do_to_the_systems_what_they_say(preset_run):
    options, files = preset_run
    code = options.preset == "paper-code"
    (damp,) = (one for one in build.make_conditioning(options.conditioning) if isinstance(one, Damp))
    for line in files.blocks:
        # Damped by r (max|H| + offset); the largest entry moves by that much at most, if it is on the diagonal.
        relative = damp.relative * line["damping_scale"]
        assert line["damping_scale"] == files.steps[line["step"]]["damping_scale"]
        largest = line["damping"] / relative - (1e-6 if code else 0)
        assert line["max_entry"] == pytest.approx(largest, abs=line["damping"] * (1 + 1e-4))
        kind = {"blocks": "exact", "paper": "bound", "paper-code": "exact"}[options.preset]
        assert line["condition_number_kind"] == kind
        second = line["second_log10_condition_number"]
        if options.preset == "paper":
            # The bound acts, the true number stands beside it, and is never above it.
            assert line["second_condition_number_kind"] == "exact"
            assert 0 <= second <= line["log10_condition_number"] + 1e-3
        else:
            assert (second, line["second_condition_number_kind"]) == (None, None)
        if code:
            # Each row is pruned alone, after the damping: unsymmetric, so never definite.
            assert not line["definite"]
            assert line["kept_fraction"] < 1
            assert line["degree"] == math.ceil(line["n"] / 2)
            assert line["perturbation"] > 0
        elif options.preset == "paper":
            # An entry stays for its row or its column: no fewer than half of each row, and as many above as below.
            assert line["n"] / 2 <= line["degree"] <= line["n"]
            assert line["kept_fraction"] <= 1
        else:
            assert line["kept_fraction"] == 1
            assert line["perturbation"] == 0
