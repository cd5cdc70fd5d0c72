"""Profile files: every number has its source, and every mistake is named with its field."""

import re
import tomllib
from pathlib import Path

import pytest

import qnewton._hardware
from qnewton._core.records import ClassicalWorkload
from qnewton._hardware import ClassicalProfile, QuantumProfile, load_profile, profile_names

FOLDER = Path(qnewton._hardware.__file__).parent / "profiles"
QUANTUM = """\
kind = "quantum"
description = "mine"
code = "surface"
two_qubit_time_s = 50e-9
measurement_time_s = 100e-9
t_gate_time_s = 50e-9
clifford_error_rate = 1e-3
readout_error_rate = 1e-3
t_gate_error_rate = 1e-3
reaction_time_s = 1
"""


def test_every_number_of_every_profile_has_its_source():
    rows = re.findall(
        r"^\| ([\w-]+) \| (\w+) \| ([-.e\d]+) \| (.+?) \| (.+?) \|$", (FOLDER / "methodology.md").read_text(), re.M
    )
    stated = {(name, field): float(value) for name, field, value, _, _ in rows}
    assert all(sure in ("read", "second-hand", "ours") for *_, sure in rows)
    shipped = {
        (name, field): value
        for name in profile_names()
        for field, value in tomllib.loads((FOLDER / f"{name}.toml").read_text()).items()
        if not isinstance(value, str)
    }
    assert stated == shipped


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_under_its_name(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    assert hash(profile) == hash(load_profile(name))


def test_a_round_of_syndrome_extraction():
    # 4 x 50 + 2 x 100 ns; 600 us; 3 x 100 ns.
    times = [
        p.syndrome_time_s
        for p in map(load_profile, ("superconducting", "trapped-ion", "majorana"))
        if isinstance(p, QuantumProfile)
    ]
    assert times == pytest.approx([400e-9, 600e-6, 300e-9])


def test_a_file_of_your_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(QUANTUM)
    profile = load_profile(path)
    assert isinstance(profile, QuantumProfile)
    assert (profile.name, profile.reaction_time_s, profile.machine.gate_time_s) == ("mine", 1.0, 50e-9)
    assert load_profile(str(path)) == profile


BAD = {
    "unknown field": (("t_gate_time_s", "t_gate_tme_s"), r"unknown field 't_gate_tme_s': did you mean 't_gate_time_s'"),
    "missing field": (("readout_error_rate = 1e-3\n", ""), r"field is missing: readout_error_rate"),
    "missing fields": (
        ("readout_error_rate = 1e-3\nt_gate_error_rate = 1e-3\n", ""),
        r"fields are missing: readout_error_rate, t_gate_error_rate",
    ),
    "no kind": (('kind = "quantum"\n', ""), r"the field `kind` is missing"),
    "unknown kind": (('"quantum"', '"quantm"'), r"unknown kind 'quantm': did you mean 'quantum'"),
    "a string for a number": (("50e-9", '"50 ns"'), r"two_qubit_time_s is '50 ns': it must be a number"),
    "a switch for a number": (("50e-9", "true"), r"two_qubit_time_s is True: it must be a number"),
    "a number for a string": (('"mine"', "1"), r"description is 1: it must be a string"),
    "no time": (("100e-9", "0"), r"measurement_time_s is 0.0: it must be a positive number of seconds"),
    "endless": (("100e-9", "inf"), r"measurement_time_s is inf"),
    "NaN": (("100e-9", "nan"), r"measurement_time_s is nan"),
    "no probability": (("t_gate_error_rate = 1e-3", "t_gate_error_rate = 1.5"), r"t_gate_error_rate is 1.5.*\(0, 1\)"),
    "unknown code": (
        ('"surface"', '"surfce"'),
        r"code: unknown error-correcting code 'surfce': did you mean 'surface'",
    ),
    "above the threshold": (
        ("clifford_error_rate = 1e-3", "clifford_error_rate = 0.01"),
        r"the error rate is 0.01: the surface code only helps below its threshold, 0.01",
    ),
    "unknown model": (("reaction", 'model = "qr"\nreaction'), r"model: unknown model .*'qr': did you mean 'qre'"),
    "a factory of the other model": (
        ("reaction", 'factories = "rounds+litinski"\nreaction'),
        r"factories: unknown T factory 'litinski'. Valid: rounds",
    ),
    "a time that the code needs": (
        ('"surface"', '"rotated-surface"'),
        r"one_qubit_time_s is 0.0: it must be a positive number of seconds",
    ),
    "negative power": (
        ("reaction", "qubit_power_w = -1\nreaction"),
        r"qubit_power_w is -1.0: it must be a positive number of watts",
    ),
    "not TOML": (('"mine"', '"mine'), r"not a TOML file"),
    "the name": (('kind = "quantum"\n', 'kind = "quantum"\nname = "other"\n'), r"unknown field 'name'"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_named_with_file_and_field(change, message, tmp_path):
    path = tmp_path / "mine.toml"
    assert change[0] in QUANTUM
    path.write_text(QUANTUM.replace(change[0], change[1], 1))
    with pytest.raises(ValueError, match=rf"mine\.toml: {message}"):
        load_profile(path)


def test_an_unknown_name_gets_the_nearest_and_says_that_a_path_will_do():
    with pytest.raises(
        ValueError, match=r"unknown hardware profile 'superconductng': did you mean 'superconducting'.*\.toml"
    ):
        load_profile("superconductng")
    with pytest.raises(FileNotFoundError):
        load_profile("nowhere.toml")


def test_gate_times_are_scaled_together_and_the_reaction_stays():
    profile = load_profile("superconducting")
    assert isinstance(profile, QuantumProfile)
    fast = profile.at_gate_time(1e-18)
    assert fast.two_qubit_time_s == 1e-18
    assert fast.syndrome_time_s == pytest.approx(8e-18)
    assert fast.reaction_time_s == profile.reaction_time_s
    assert "hypothetical" in fast.description
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"gate_time_s is {bad}"):
            profile.at_gate_time(bad)


REST = ("memory_bytes", "efficiency")


def test_a_data_sheet_becomes_a_machine():
    profile = load_profile("nvidia-h100-sxm")
    assert isinstance(profile, ClassicalProfile)
    machine = profile.machine(["lu", "cholesky", "lu"], "float64")
    assert [kernel for kernel, _ in machine.kernels] == ["cholesky", "lu"]
    assert machine.seconds(ClassicalWorkload("lu", flops=67e12, bytes=0.0)) == pytest.approx(1 / 0.65)
    assert machine.seconds(ClassicalWorkload("lu", flops=0.0, bytes=3.35e12)) == pytest.approx(1 / 0.65)
    with pytest.raises(ValueError, match="dtype is bfloat16"):
        profile.machine(["lu"], "bfloat16")
    for field, value in [
        ("efficiency", 1.5),
        ("bytes_per_s", 0.0),
        ("memory_bytes", -1.0),
        ("float32_flops_per_s", float("nan")),
    ]:
        arguments = {
            f: getattr(profile, f)
            for f in (*("name", "description", "float32_flops_per_s", "float64_flops_per_s", "bytes_per_s"), *REST)
        }
        with pytest.raises(ValueError, match=f"{field} is {value}"):
            ClassicalProfile(**{**arguments, field: value})
