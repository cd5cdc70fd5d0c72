"""`qnewton breakeven`: its files, and that nothing is overwritten."""

import json

from PIL import Image

from qnewton.lab import read_result
from qnewton.lab._runfile import BreakevenFile

NUMBERS = ("--n", "4096", "--kappa", "300", "--sparsity", "40", "--hardware", "superconducting", "nvidia-h100-sxm")


def test_files_and_sentences(call, tmp_path):
    outcome = call("breakeven", *NUMBERS, "--out", str(tmp_path / "new"), "--calibrations", str(tmp_path / "none"))
    assert (outcome.status, outcome.err) == (0, "")
    assert "no value of condition number does it" in outcome.out
    record = read_result(tmp_path / "new" / "breakeven.json")
    assert isinstance(record, BreakevenFile)
    assert record.log10_quantum_over_classical > 0
    assert [one.name for one in record.singles] == [
        "gate_time_s",
        "logical_cycle_s",
        "kappa",
        "d",
        "readout_precision",
        "n",
    ]
    assert len(record.pairs) == 14
    for figure in ("tornado.png", "maps.png"):
        with Image.open(tmp_path / "new" / figure) as image:
            assert image.format == "PNG"
            assert min(image.size) > 300


def test_json_alone_and_figures_by_format(call, tmp_path):
    where = ("--out", str(tmp_path / "new"), "--calibrations", str(tmp_path / "none"))
    outcome = call("breakeven", *NUMBERS, *where, "--json", "--figures", "svg")
    said = json.loads(outcome.out)
    assert said["found"] == json.loads((tmp_path / "new" / "breakeven.json").read_text())
    # No range begins below a thousandth of an attosecond.
    assert [one["low"] for one in said["found"]["singles"] if one["unit"] == "s"] == [1e-21, 1e-21]
    times = [pair["x"] for pair in said["found"]["pairs"] if pair["first"].endswith("_s")]
    assert len(times) == 8
    assert all(values[0] == 1e-21 for values in times)
    for words in ("quantum is faster", "as it is", "no number", "equal"):
        assert words in (tmp_path / "new" / "maps.svg").read_text()
    assert "never equal" in (tmp_path / "new" / "tornado.svg").read_text()


def test_nothing_is_overwritten(call, tmp_path):
    kept = tmp_path / "mine.txt"
    kept.write_text("mine")
    outcome = call("breakeven", *NUMBERS, "--out", str(tmp_path))
    assert outcome.status == 2
    assert "exists and is not an empty directory: nothing is ever overwritten" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_a_classical_machine_there_is_nothing_to_break_even_with(call, tmp_path):
    arguments = ("breakeven", "--n", "9", "--kappa", "5", "--hardware", "majorana")
    outcome = call(*arguments, "--calibrations", str(tmp_path / "none"))
    assert outcome.status == 2
    assert "names no classical profile" in outcome.err
