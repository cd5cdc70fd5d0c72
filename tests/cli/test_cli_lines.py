"""A sample of `benchmarks/command_lines.py`, and that it notices what it is there to notice."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def lines() -> Iterator[Any]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("command_lines")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_random_arguments_end_as_documented(lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = ("parts", "circuit", "report", "explain", "replay", "spectrum")
    for index in range(12):
        arguments = lines.case(11, index, commands)
        end = lines.ended(arguments)
        assert end.verdict == "right", (index, arguments, end)


def test_what_is_not_right_is_noticed(lines, monkeypatch):
    def ends(status: int, text: str, error: type[Exception] | None = None) -> str:
        def command(arguments: list[str]) -> int:
            print(text)
            if error is not None:
                raise error
            return status

        monkeypatch.setattr(lines, "qnewton", command)
        return lines.ended(["plan", "--json"]).verdict

    assert ends(0, "{}") == "right"
    assert ends(0, "{} and more") == "undocumented"
    assert ends(2, "") == "undocumented"
    assert ends(130, "stopped by nobody") == "undocumented"
    assert ends(7, "{}") == "undocumented"
    assert ends(2, "\x1b[31m") == "escapes"
    assert ends(0, "{}", KeyError) == "tracebacks"
