"""A file of lines, cut wherever a process may have been killed."""

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import pytest

from qnewton.lab._runfile import Record, RunDirectory, RunFileError, encode, read_lines, unverified
from qnewton.lab._runfile.ranges import Ranges, apart


class Line(Record, frozen=True):
    """A line of a file."""

    step: int
    loss: float | None
    text: str


LINES = st.lists(
    st.builds(
        Line,
        step=st.integers(0, 2**53),
        loss=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        text=st.text(),
    ),
    max_size=5,
)


@hypothesis.given(LINES, st.data())
def test_a_file_cut_anywhere_holds_the_lines_before(tmp_path_factory, lines: list[Line], data: st.DataObject) -> None:
    encoded = [encode(line) + b"\n" for line in lines]
    raw = b"".join(encoded)
    cut = data.draw(st.integers(0, len(raw)))
    file = tmp_path_factory.mktemp("cut") / "lines.jsonl"
    file.write_bytes(raw[:cut])
    found = read_lines(file, Line)
    ends = [sum(map(len, encoded[: i + 1])) for i in range(len(encoded))]
    whole = sum(end <= cut for end in ends)
    assert found.broken is None
    assert [found.until(count) for count in range(whole + 1)] == [0, *ends[:whole]]
    assert found.torn == (whole + 1 if cut > found.until(whole) else None)
    # To the last digit; characters that no page can hold are replaced.
    assert [(line.step, line.loss) for line in found.records] == [(line.step, line.loss) for line in lines[:whole]]


def test_what_follows_a_line_that_is_wrong_is_not_read(tmp_path: Path) -> None:
    good = Line(step=0, loss=0.5, text="")
    file = tmp_path / "lines.jsonl"
    for wrong, words in (
        (b'{"step":0,"loss":1,"text":7}\n', r"line 2: the field 'text' is the number 7; it must be a string"),
        (b"[]\n", r"line 2: the whole of it is a list; it must be an object"),
        (b'{"step":0,"loss":NaN,"text":""}\n', r"line 2: NaN is not JSON"),
        (b'{"step":0,"loss":1e999,"text":""}\n', r"line 2: the field 'loss' is the number inf; it must be a finite"),
        (b'{"step":0,"loss":1' + b"0" * 400 + b',"text":""}\n', r"line 2: the field 'loss' is the number 10"),
        (b'{"step":0,"loss":null,"text":"\xff"}\n', r"line 2: not JSON in UTF-8: 'utf-8' codec"),
    ):
        file.write_bytes(encode(good) + b"\n" + wrong + encode(good) + b"\n")
        for upgrade in (None, lambda line: None):
            found = read_lines(file, Line, upgrade)
            assert found.records == (good,)
            assert isinstance(found.broken, RunFileError)
            with pytest.raises(RunFileError, match=words):
                raise found.broken


def test_a_long_file_is_read_in_one_pass(tmp_path: Path) -> None:
    line = encode(Line(step=0, loss=0.5, text="x" * 100)) + b"\n"
    (tmp_path / "lines.jsonl").write_bytes(line * 50_000)
    start = time.process_time()
    assert len(read_lines(tmp_path / "lines.jsonl", Line).records) == 50_000
    # A look at the rest of the file for each line would take a minute.
    assert time.process_time() - start < 10


def written(run: Path, seed: int) -> Path:
    """Four lines of a run, in the middle of which its process was another one."""
    run.mkdir()
    (run / "config.json").write_text(f'{{"started": "2026-01-01", "seed": {seed}, "other": []}}')
    for first in (0, 2):
        directory = RunDirectory(run)
        for step in (first, first + 1):
            directory.append("lines.jsonl", [Line(step=step, loss=0.5, text="")])
    return run / "lines.jsonl"


def test_a_line_ends_with_the_checksum_that_the_documentation_states(tmp_path: Path) -> None:
    file = written(tmp_path / "run", 7)
    before = zlib.crc32(b"2026-01-01 7")
    for step, line in enumerate(file.read_bytes().splitlines()):
        body = f'{{"step":{step},"loss":0.5,"text":""'.encode()
        before = zlib.crc32(body, before)
        assert line == body + f',"crc32":{before}}}'.encode()
    assert [line.step for line in read_lines(file, Line).records] == [0, 1, 2, 3]


HARM: dict[str, tuple[Callable[[list[bytes], list[bytes]], list[bytes]], int]] = {
    "another number": (lambda own, _: [own[0], own[1].replace(b"0.5", b"0.6"), *own[2:]], 2),
    "swapped": (lambda own, _: [own[0], own[2], own[1], own[3]], 2),
    "doubled": (lambda own, _: [*own[:2], own[1], *own[2:]], 3),
    "left out": (lambda own, _: [own[0], *own[2:]], 2),
    "the first left out": (lambda own, _: own[1:], 1),
    "without a checksum": (lambda own, _: [*own[:3], own[3].partition(b',"crc32"')[0] + b"}\n"], 4),
    "of another run": (lambda _, other: other, 1),
}


@pytest.mark.parametrize(("harm", "line"), HARM.values(), ids=HARM.keys())
def test_a_line_that_is_not_as_it_was_written_is_named_without_a_manifest(harm, line, tmp_path: Path) -> None:
    file, other = written(tmp_path / "run", 0), written(tmp_path / "other", 1)
    own = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(harm(own, other.read_bytes().splitlines(keepends=True))))
    found = read_lines(file, Line)
    assert len(found.records) == line - 1
    assert f"lines.jsonl, line {line}: altered" in str(found.broken)
    with unverified() as notes:
        assert read_lines(file, Line).broken is None
    assert notes


@hypothesis.given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)), st.integers(1, 3))
def test_ranges_are_the_numbers_that_were_added(one: list[int], other: list[int], step: int) -> None:
    a, b = Ranges(step), Ranges(step)
    for own, numbers in ((a, one), (b, other)):
        for number in numbers:
            own.add(number)
        assert list(own) == own[:] == numbers
    assert set(apart(a, b, 100)) == set(one) ^ set(other)
