"""The page of the run files is made from the records, and the records name what the code knows."""

import importlib.util
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qnewton._core.records import Kind, Kinds
from qnewton._core.status import Status, Verdict
from qnewton._curvature import Independence
from qnewton.lab import _runfile as runfile
from qnewton.lab._runfile.mismatch import words

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def make() -> Any:
    spec = importlib.util.spec_from_file_location("make_run_files", DOCS / "make_run_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_the_one_that_the_records_make(make: Any) -> None:
    assert (DOCS / "run-files.md").read_text("utf-8") == make.page(), "run python docs/make_run_files.py"


def test_every_record_is_on_the_page(make: Any) -> None:
    page = make.page()
    for name, kind in vars(runfile).items():
        if isinstance(kind, type) and issubclass(kind, runfile.Record) and kind is not runfile.Record:
            for field, meaning in make._meanings(kind).items():
                assert f"`{field}`" in page, name
                assert meaning in page, name


def test_the_words_of_the_records_are_those_of_the_code() -> None:
    assert set(typing.get_args(runfile.KindName)) == {kind.value for kind in Kind}
    assert set(typing.get_args(runfile.VerdictName)) == {verdict.label for verdict in Verdict} | {"open"}
    assert [field.name for field in msgspec.structs.fields(runfile.NumberKinds)] == list(Kinds.__dataclass_fields__)


def test_the_page_names_every_status_and_every_way_to_the_curvature(make: Any) -> None:
    page = make.page()
    for code in (*Status, *Independence):
        assert f"`{code.label}`" in page


TYPES = {
    "number or null": float | None,
    "object of lists of strings": dict[str, tuple[str, ...]],
    "list of [number, number or null]": tuple[tuple[float, float | None], ...],
    "'a' or 'b'": typing.Literal["a", "b"],
    "object": dict[str, Any],
    "list of objects of integers": list[dict[str, int]],
}


@pytest.mark.parametrize(("said", "kind"), TYPES.items(), ids=TYPES.keys())
def test_types_in_words(said: str, kind: Any) -> None:
    assert words(msgspec.inspect.type_info(kind)) == said
