"""The files that commands leave as their results: one reader, and the same words for whatever is wrong with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qnewton.lab import read_result
from qnewton.lab._experiments.provenance import provenance
from qnewton.lab._runfile import (
    BreakevenFile,
    BreakevenPair,
    BreakevenSingle,
    ComparedModel,
    ComparisonFile,
    DataRecord,
    NoiseFile,
    Record,
    RunDirectory,
    RunFileError,
    SpectrumBlock,
    SpectrumFile,
    SpectrumSource,
    TradeoffFile,
    TradeoffSetting,
)

INFINITE, UNKNOWN = float("inf"), float("nan")
BLOCK = SpectrumBlock(
    name="layers.0",
    n=3,
    kind="exact",
    eigenvalues=(-1.0, 0.0, 1 / 3),
    weights=(1.0, 1.0, 1.0),
    damping=0.0,
    condition_number=INFINITE,
    condition_number_kind="certified",
    effective_rank=1.5,
    rounding=1e-16,
    numerical_rank=2.0,
    numerical_rank_error=0.0,
    negative=1.0,
    negative_error=0.0,
    degrees=(3, 2),
    thresholds=(0.0, 0.1),
)
SETTING = TradeoffSetting(
    method="paper",
    setting="keep 0.1",
    degree=2.5,
    encoded_condition_number=INFINITE,
    queries=INFINITE,
    cosine=0.5,
    relative_residual=0.1,
    model_decrease=0.9,
    indefinite=0.5,
    blocks=2,
    training_loss=None,
)
SINGLE = BreakevenSingle(
    name="kappa",
    label="condition number",
    unit="",
    low=1.0,
    high=1e12,
    present=300.0,
    value=None,
    least=UNKNOWN,
    most=UNKNOWN,
    sentence="no value does it",
)
PAIR = BreakevenPair(
    first="kappa",
    second="d",
    first_label="condition number",
    second_label="d",
    x=(1.0,),
    y=(2.0, 3.0),
    orders=((UNKNOWN,), (0.5,)),
)
ABOUT: dict[str, Any] = provenance()
RESULTS: dict[str, tuple[Record, str, tuple[str, ...]]] = {
    # What is written, the path of one number in it, and the fields that files have had from the first one on.
    "spectrum.json": (
        SpectrumFile(schema_version=1, source=SpectrumSource(path="h.npy", raw=False), **ABOUT, blocks=(BLOCK,)),
        "blocks[0].rounding",
        ("schema_version", "source", *ABOUT, "blocks"),
    ),
    "tradeoff.json": (
        TradeoffFile(schema_version=1, options={"task": "tiny"}, **ABOUT, settings=(SETTING,)),
        "settings[0].degree",
        ("schema_version", "options", *ABOUT, "settings"),
    ),
    "breakeven.json": (
        BreakevenFile(
            schema_version=1,
            question="which?",
            assumptions="paper",
            hardware="majorana",
            classical=("abacus",),
            assumed=(),
            log10_quantum_over_classical=12.5,
            singles=(SINGLE,),
            pairs=(PAIR,),
        ),
        "log10_quantum_over_classical",
        (
            "schema_version",
            "question",
            "assumptions",
            "hardware",
            "classical",
            "assumed",
            "log10_quantum_over_classical",
            "singles",
            "pairs",
        ),
    ),
    "noise.json": (
        NoiseFile(schema_version=1, options={}, **ABOUT, answer={"tolerance": 0.01}, curves=()),
        "machine.cores",
        ("schema_version", "options", *ABOUT, "answer", "curves"),
    ),
    "compare.json": (
        ComparisonFile(
            schema_version=1,
            **ABOUT,
            options={},
            model=ComparedModel(description="an MLP", parameters=9, blocks=(), rows=9),
            data=DataRecord(description="digits", train=6, test=3, batch=2),
            assumptions=("paper",),
            hardware="majorana",
            reference="adamw",
            left_out={},
            methods=(),
            targets=(),
        ),
        "model.rows",
        (
            "schema_version",
            *ABOUT,
            "options",
            "model",
            "data",
            "assumptions",
            "hardware",
            "reference",
            "left_out",
            "methods",
            "targets",
        ),
    ),
}


@pytest.fixture(params=RESULTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def written(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    RunDirectory(Path("found")).add(name, RESULTS[name][0])
    return Path("found") / name


def refused(file: Path) -> str:
    with pytest.raises(RunFileError) as caught:
        read_result(file)
    return str(caught.value)


def changed(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content), "utf-8")


def test_what_is_read_is_what_was_written(name: str, written: Path) -> None:
    record, _, fields = RESULTS[name]
    found = read_result(written)
    assert tuple(json.loads(written.read_text("utf-8"))) == fields
    assert type(found) is type(record)
    # To the last digit, but for what is not finite: that is null in the file.
    assert RunDirectory(Path("again")).add(name, found) == found
    assert (Path("again") / name).read_bytes() == written.read_bytes()


def test_what_is_not_finite_is_none(tmp_path: Path) -> None:
    added = {name: RunDirectory(tmp_path).add(name, record) for name, (record, _, _) in RESULTS.items()}
    spectrum, tradeoff, breakeven = (added[f"{name}.json"] for name in ("spectrum", "tradeoff", "breakeven"))
    assert isinstance(spectrum, SpectrumFile)
    assert spectrum.blocks[0].condition_number is None
    assert spectrum.blocks[0].eigenvalues == BLOCK.eigenvalues
    assert isinstance(tradeoff, TradeoffFile)
    assert (tradeoff.settings[0].queries, tradeoff.settings[0].cosine) == (None, 0.5)
    assert isinstance(breakeven, BreakevenFile)
    assert (breakeven.singles[0].least, breakeven.pairs[0].orders) == (None, ((None,), (0.5,)))


def test_a_wrong_type_is_said_with_file_and_field(name: str, written: Path) -> None:
    place = RESULTS[name][1]

    def spoil(content: Any) -> None:
        *above, last = place.replace("[0]", ".0").split(".")
        for step in above:
            content = content[int(step) if step == "0" else step]
        content[last] = "many"

    changed(written, spoil)
    assert f"{written}: the field '{place}' is the string 'many'; it must be a" in refused(written)


@pytest.mark.parametrize("change", ["missing", "unknown"])
def test_a_field_too_few_or_too_many_is_said(change: str, written: Path) -> None:
    last = list(json.loads(written.read_text("utf-8")))[-1]
    if change == "missing":
        changed(written, lambda content: content.pop(last))
        assert f"{written}: the field '{last}' is missing; it must be a list of objects" in refused(written)
    else:
        changed(written, lambda content: content.update(extra=1))
        assert f"{written}: the field 'extra' is not a field of this record" in refused(written)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_schema_is_told_before_any_field(version: object, written: Path) -> None:
    changed(written, lambda content: content.update(schema_version=version, a_field_of_that_schema=1))
    words = f"{written}: schema_version is {version!r}, and this version of qnewton reads 1: open it with the qnewton"
    assert words in refused(written)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_torn_file_is_named(part: float, written: Path) -> None:
    raw = written.read_bytes()
    written.write_bytes(raw[: int(part * len(raw))])
    assert f"{written}: not JSON in UTF-8: " in refused(written)


def test_what_is_no_result_is_refused_by_name(tmp_path: Path) -> None:
    assert "summary.json is no file of results: those are called spectrum.json" in refused(tmp_path / "summary.json")
    words = "tradeoff.json is missing: make it by its command, qnewton tradeoff"
    assert words in refused(tmp_path / "tradeoff.json")
    (tmp_path / "breakeven.json").write_text("[]")
    assert "breakeven.json: the whole of it is a list; it must be an object" in refused(tmp_path / "breakeven.json")
