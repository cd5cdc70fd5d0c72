"""Reads the files of a run directory into frozen records; `docs/run-files.md` is the contract."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from .fields import Fields, RunFileError, clean_text
from .records import KINDS, STAGES, Assumption, Block, Config, GateTime, Run, Step, Summary

SCHEMA_VERSION = 6


def read_run(run_directory: Path) -> Run:
    """Reads a run directory.

    Args:
        run_directory: what `qnewton train` wrote. `summary.json` may be missing, as may lines that a killed run never
            wrote, and the last line of a `*.jsonl` may be cut off: `Run.notes` then says so.

    Raises:
        RunFileError: a file is not what `docs/run-files.md` says; the message names the file and the line.
    """
    run_directory = Path(run_directory)
    if not (run_directory / "config.json").is_file():
        raise RunFileError(f"{run_directory} holds no config.json: it is not the directory of a run")
    notes: list[str] = []
    config = _config(_read_object(run_directory / "config.json"))
    steps = tuple(_step(fields) for fields in _read_lines(run_directory / "steps.jsonl", notes))
    blocks: tuple[Block, ...] = ()
    if config.scheduled:
        blocks = tuple(_block(fields) for fields in _read_lines(run_directory / "blocks.jsonl", notes))
    summary = None
    if (run_directory / "summary.json").is_file():
        summary = _summary(_read_object(run_directory / "summary.json"))
        if summary.steps != len(steps):
            notes.append(f"summary.json counts {summary.steps} steps, steps.jsonl holds {len(steps)}.")
    else:
        notes.append(
            "summary.json is missing: the run was killed, or is still running. "
            "Totals are summed over the steps that were written."
        )
    unfinished = {block.step for block in blocks} ^ {step.step for step in steps}
    if unfinished and blocks:
        listed = ", ".join(str(step) for step in sorted(unfinished)[:5])
        notes.append(f"steps.jsonl and blocks.jsonl do not hold the same steps (step {listed} is in one of them only).")
    return Run(config, steps, blocks, summary, tuple(notes))


def _reject_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON (a number that is not finite is written as null)")


def _parse(raw: bytes) -> object:
    return json.loads(raw.decode("utf-8"), parse_constant=_reject_constant)


def _read_object(path: Path) -> Fields:
    try:
        value = _parse(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunFileError(f"{path.name}: not a JSON file in UTF-8: {error}") from error
    if not isinstance(value, dict):
        raise RunFileError(f"{path.name}: not a JSON object")
    fields = Fields(value, path.name)
    if fields.integer("schema_version") != SCHEMA_VERSION:
        raise fields.error("schema_version", f"{SCHEMA_VERSION}: this qnewton reads no other version")
    return fields


def _read_lines(path: Path, notes: list[str]) -> Iterator[Fields]:
    if not path.is_file():
        notes.append(f"{path.name} is missing: the run ended before its first step.")
        return
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, start=1):
            if not raw.strip():
                continue
            try:
                value = _parse(raw)
            except (ValueError, RecursionError) as error:
                if not lines.read().strip():  # the last line: the run was killed while it was written
                    notes.append(f"{path.name}: the last line ({number}) is cut off and was left out.")
                    return
                raise RunFileError(f"{path.name}, line {number}: not JSON in UTF-8: {error}") from error
            if not isinstance(value, dict):
                raise RunFileError(f"{path.name}, line {number}: not a JSON object")
            yield Fields(value, f"{path.name}, line {number}")


def _config(fields: Fields) -> Config:
    model, data = fields.child("model"), fields.child("data")
    return Config(
        task=fields.text("task"),
        preset=fields.text("preset"),
        optimizer=fields.text("optimizer"),
        options=dict(fields.child("options").values),
        seed=fields.integer("seed"),
        started=fields.text("started"),
        versions=fields.texts("versions"),
        machine=dict(fields.child("machine").values),
        commit=fields.text_or_null("commit"),
        model=model.text("description"),
        parameters=model.integer("parameters"),
        block_sizes=tuple((block.text("name"), block.integer("n")) for block in model.items("blocks")),
        data=data.text("description"),
        train_examples=data.integer("train"),
        test_examples=data.integer("test"),
    )


def _step(fields: Fields) -> Step:
    predicted = {}
    for name, group in fields.children("predicted_seconds").items():
        predicted[name] = {stage: group.number(stage) for stage in (*STAGES, "total")}
    return Step(
        step=fields.integer("step"),
        epoch=fields.number("epoch"),
        loss=fields.number("loss"),
        train_loss=fields.number("train_loss"),
        test_loss=fields.number("test_loss"),
        test_accuracy=fields.number("test_accuracy"),
        accepted=fields.flag("accepted"),
        measured_seconds=fields.number("measured_seconds"),
        measured_evaluation_seconds=fields.number("measured_evaluation_seconds"),
        predicted_seconds=predicted,
    )


def _assumption(fields: Fields) -> Assumption:
    sweep = fields.child("predicted_quantum_seconds_by_gate_time")
    return Assumption(
        choice=fields.text("choice"),
        machine=fields.one_of("machine", ("classical", "quantum")),
        verdict=fields.one_of("verdict", ("chosen", "nobody", "over_budget")),
        worker=fields.text_or_null("worker"),
        predicted_seconds=fields.numbers("predicted_seconds"),
        refused=fields.texts("refused"),
        break_even_gate_time_s=fields.numbers("break_even_gate_time_s"),
        predicted_quantum_seconds_by_gate_time={clean_text(name): sweep.pairs(name) for name in sweep.values},
    )


def _log10_condition_number(fields: Fields) -> float | None:
    condition_number, logarithm = fields.number("condition_number"), fields.number("log10_condition_number")
    if logarithm is None and condition_number is not None and condition_number > 0:
        return math.log10(condition_number)
    return logarithm


def _block(fields: Fields) -> Block:
    assumptions = {name: _assumption(group) for name, group in fields.children("assumptions").items()}
    acting = fields.text("acting")
    if acting not in assumptions:
        raise fields.error("acting", "one of the assumption sets under 'assumptions'")
    second = "second_condition_number_kind" in fields.values
    return Block(
        step=fields.integer("step"),
        block=fields.integer("block"),
        name=fields.text("name"),
        n=fields.integer("n"),
        status=fields.text("status"),
        damping=fields.number("damping"),
        kept_fraction=fields.number("kept_fraction"),
        perturbation=fields.number("perturbation"),
        degree=fields.integer("degree"),
        log10_condition_number=_log10_condition_number(fields),
        condition_number_kind=fields.one_of("condition_number_kind", KINDS),
        # Runs from before there was a second estimator have neither field.
        second_log10_condition_number=fields.number("second_log10_condition_number") if second else None,
        second_condition_number_kind=fields.text_or_null("second_condition_number_kind") if second else None,
        definite=fields.flag("definite"),
        relative_residual=fields.number("relative_residual"),
        exact_residual=fields.number("exact_residual"),
        acting=acting,
        solver=fields.text("solver"),
        ran=fields.text("ran"),
        fidelity=fields.text_or_null("fidelity"),
        executed_outcome=fields.text_or_null("executed_outcome"),
        assumptions=assumptions,
    )


def _summary(fields: Fields) -> Summary:
    rows = []
    for row in fields.items("by_gate_time"):
        gate_time_s = row.number("gate_time_s")
        if gate_time_s is None or gate_time_s <= 0:
            raise row.error("gate_time_s", "a positive number")
        share, whole, solves = (
            row.number(name) for name in ("quantum_share", "predicted_seconds", "predicted_solve_seconds")
        )
        rows.append(GateTime(gate_time_s, share, whole, solves))
    return Summary(
        status=fields.one_of("status", ("finished", "interrupted")),
        steps=fields.integer("steps"),
        final_loss=fields.number("final_loss"),
        test_accuracy=fields.number("test_accuracy"),
        test_loss=fields.number("test_loss"),
        measured_seconds=fields.number("measured_seconds"),
        measured_breakdown=fields.numbers("measured_breakdown"),
        predicted_seconds=fields.numbers("predicted_seconds"),
        predicted_seconds_all_classical=fields.number("predicted_seconds_all_classical"),
        acting=fields.text_or_null("acting"),
        gate_time_s=fields.number("gate_time_s"),
        quantum_share=fields.number("quantum_share"),
        by_gate_time=tuple(sorted(rows, key=lambda row: row.gate_time_s)),
        solved_by=fields.integers("solved_by"),
        fidelity=fields.text_or_null("fidelity"),
        statuses=fields.integers("statuses"),
    )
