"""A run that was stopped, at whatever moment, goes on as if it had not been."""

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import pytest

from qnewton.lab._experiments import calibrations, checkpoints, prepare, resume, room, runner
from qnewton.lab._experiments.checkpoints import (
    DamagedCheckpoint,
    checkpoint_steps,
    read_checkpoint,
)
from qnewton.lab._experiments.saver import restore
from qnewton.lab._experiments.task_options import TASKS, Registered
from qnewton.lab._experiments.tasks import make_task
from qnewton.lab._runfile import AlteredError, RunDirectory, RunFileError, config_digest, file_digest, plain
from qnewton.lab._runfile import read_run as records

STEPS, EVERY = 6, 2


class Hears:
    """Keeps what it is told."""

    def __init__(self):
        self.stages: list[str] = []
        self.steps: list[int] = []

    def stage(self, what):
        self.stages.append(what)

    def step(self, step, blocks):
        self.steps.append(step.step)


def unclocked(value: Any) -> Any:
    """Without the measured seconds, which no two runs share."""
    if isinstance(value, dict):
        return {key: unclocked(item) for key, item in value.items() if not key.startswith("measured")}
    return [unclocked(item) for item in value] if isinstance(value, list) else value


def killed(path, after: int, target):
    """A copy of a run as kill -9 would have left it: `after` steps saved, one more line of steps, half of another."""
    shutil.copytree(path, target)
    for name in ("summary.json", "manifest.json"):
        (target / name).unlink()
    for step in checkpoint_steps(target):
        if step > after:
            shutil.rmtree(target / "checkpoints" / str(step))
    for name in ("steps.jsonl", "blocks.jsonl"):
        if (target / name).exists():
            lines = (target / name).read_text().splitlines(keepends=True)
            count = sum(json.loads(line)["step"] <= after for line in lines)
            (target / name).write_text("".join(lines[:count]) + (lines[count][:20] if lines[count:] else ""))
    return target


def same_arrays(one, other) -> bool:
    def bits(arrays):
        return {(g, n): (a.dtype, a.shape, a.tobytes()) for g, own in arrays.items() for n, a in own.items()}

    return bits(one.arrays) == bits(other.arrays)


def noisy(dtype: str) -> Any:
    """A task whose batches are random anew in every step."""
    task = make_task("tiny", dtype)

    def fresh(batch, rng):
        return batch[0] + rng.standard_normal(batch[0].shape).astype(dtype), batch[1]

    return replace(task, name="noisy", train=replace(task.train, fresh=fresh))


@pytest.fixture(scope="module", autouse=True)
def _made_for_this():
    """A task with random batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "noisy", Registered(noisy))
        yield


@pytest.fixture(scope="module")
def whole(options_of, run, tmp_path_factory):
    """`whole(task, **changes)`: a run that was not stopped, with checkpoints at 2, 4 and 6."""

    def make(task="tiny", **changes):
        options = options_of(**{"steps": STEPS, "checkpoint_every": EVERY, "evaluate_every": 3, **changes})
        return run(options, tmp_path_factory.mktemp("whole") / "run", task=task)

    return make


@pytest.fixture(scope="module")
def base(whole):
    """What most tests stop: its damping is adapted, its policy and its estimator remember."""
    return whole(policy="hysteresis", estimator="reuse(exact, 3)", solvers=("lu", "qlsa"))


CASES = {
    "makespan in float64": (
        "tiny",
        {
            "policy": "makespan(vanish='classical 0@3')",
            "dtype": "float64",
            "solvers": ("lu", "qlsa"),
            "gate_time_s": 4e-8,
            "gate_times_s": (4e-8,),
            "estimator": "reuse(exact, 3)",
        },
    ),
    "kfac on random batches": ("noisy", {"preset": "kfac"}),
    "dual-newton in float64": ("tiny", {"preset": "dual-newton", "dtype": "float64"}),
}


@pytest.mark.parametrize(("task", "changes"), CASES.values(), ids=CASES.keys())
def test_a_run_that_was_killed_ends_as_the_one_that_was_not(task, changes, whole, read_run, tmp_path, monkeypatch):
    files = whole(task, **changes)
    again = check_resume(files, read_run, tmp_path, monkeypatch)
    if "vanish" in changes.get("policy", ""):
        workers = {(line["step"], line["assumptions"]["paper"]["worker"]) for line in again.blocks}
        assert {worker for step, worker in workers if step >= 3} == {"quantum 0"}, "the other one has vanished"
    if changes.get("preset") == "kfac":
        old = killed(files.path, 4, tmp_path / "old")
        as_schema_8(old, step=4)
        runner.resume(old, heard := Hears())
        assert heard.steps == [4, 5]
        assert unclocked(read_run(old).summary) == unclocked(files.summary) | {"schema_version": 8}
        found, now = records(old), records(files.path)
        assert (list(found.decided), found.held, found.notes) == (list(now.decided), now.held, ())


def test_what_a_scheduled_step_remembers_is_there_again(base, read_run, tmp_path, monkeypatch):
    check_resume(base, read_run, tmp_path, monkeypatch)


def check_resume(whole, read_run, tmp_path, monkeypatch):
    """Bitwise the same parameters, state, losses and decisions, and nothing measured again."""
    assert checkpoint_steps(whole.path) == [6, 4, 2]
    for module, name in ((calibrations, "calibrate"), (prepare, "measure_stages")):
        monkeypatch.setattr(module, name, lambda *of, **more: pytest.fail("measured again"))
    path = killed(whole.path, 2, tmp_path / "killed")
    heard = Hears()
    summary = runner.resume(path, heard)
    assert heard.steps == [2, 3, 4, 5]
    assert "going on after 2 steps" in heard.stages
    again = read_run(path)
    assert unclocked(again.steps) == unclocked(whole.steps)
    assert unclocked(again.blocks) == unclocked(whole.blocks)
    assert unclocked(again.summary) == unclocked(whole.summary)
    assert again.calibration == whole.calibration
    assert again.config == whole.config
    assert same_arrays(read_checkpoint(path, STEPS), read_checkpoint(whole.path, STEPS))
    # Seconds are of all steps that count, whoever took them.
    assert [step["measured_seconds"] for step in again.steps[:2]] == [s["measured_seconds"] for s in whole.steps[:2]]
    assert summary.measured_breakdown.steps == sum(step["measured_seconds"] for step in again.steps)
    assert summary.measured_breakdown.compilation > whole.summary["measured_breakdown"]["compilation"]
    return again


def halted(path):
    return resume.read_halted(path, *resume.resumable(path))


def resealed(path):
    """A run that was changed, as if it had been written so."""
    config = json.loads((path / "config.json").read_text())
    calibration = path / "calibration.json"
    config["digests"] = {"calibration": file_digest(calibration)} if calibration.exists() else {}
    config["digests"]["config"] = config_digest(config)
    (path / "config.json").write_text(json.dumps(config))
    lines = [json.loads(line) for line in (path / "checkpoints.jsonl").read_text().splitlines()]
    there = [line for line in lines if (path / "checkpoints" / str(line["step"])).is_dir()]
    for line in there:
        line.pop("crc32", None)
        line["about"] = file_digest(path / "checkpoints" / str(line["step"]) / "about.json")
    (path / "checkpoints.jsonl").write_text("".join(json.dumps(line) + "\n" for line in there))


def put_aside(path):
    found = halted(path)
    resume.set_aside(found, RunDirectory(path))
    return found


def test_lines_beyond_the_checkpoint_are_kept_in_a_file_of_their_own(base, tmp_path, read_run):
    path = killed(base.path, 2, tmp_path / "run")
    (path / "summary.json").write_text('{"status": "interrupted"}')
    steps, blocks = ((path / name).read_bytes() for name in ("steps.jsonl", "blocks.jsonl"))
    found = put_aside(path)
    assert found.done == 2
    left = read_run(path)
    assert left.steps == base.steps[:2]
    assert left.blocks == base.blocks[:2]
    assert left.summary is None
    aside = path / "aside" / "001"
    assert (path / "steps.jsonl").read_bytes() + (aside / "steps.jsonl").read_bytes() == steps
    assert (path / "blocks.jsonl").read_bytes() + (aside / "blocks.jsonl").read_bytes() == blocks
    assert json.loads((aside / "summary.json").read_text())["status"] == "interrupted"
    (record,) = [json.loads(line) for line in (path / "resumes.jsonl").read_text().splitlines()]
    assert record["step"] == 2
    assert record["set_aside"] == {"folder": "aside/001", "files": ["steps.jsonl", "blocks.jsonl", "summary.json"]}
    # Once more: nothing is left to set aside, and nothing that was is touched.
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "resumes.jsonl"}
    assert put_aside(path).done == 2
    after = {file: file.read_bytes() for file in path.rglob("*") if file.is_file() and file.name != "resumes.jsonl"}
    assert after == before


def test_killed_before_the_first_checkpoint_it_starts_again(base, tmp_path):
    path = killed(base.path, 0, tmp_path / "run")
    found = put_aside(path)
    assert found.done == 0
    assert found.checkpoint is None
    assert plain(found.calibration) == base.calibration
    assert (path / "steps.jsonl").read_bytes() == (path / "blocks.jsonl").read_bytes() == b""
    assert (path / "aside" / "001" / "steps.jsonl").read_bytes().count(b"\n") == 1


def test_killed_before_anything_is_written_it_is_no_run_yet(tmp_path):
    with pytest.raises(RunFileError, match=r"no config.json.*start that with its own command"):
        resume.resumable(tmp_path)
    with pytest.raises(RunFileError, match="is not the directory of a run"):
        resume.resumable(tmp_path / "nowhere")


def test_killed_between_config_and_calibration_it_calibrates(base, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    shutil.copy(base.path / "config.json", path)
    with pytest.raises(ValueError, match=r"calibration\.json is gone"):  # it is written first, so it was there
        halted(path)
    change(path, "config.json", digests={})  # as it was once written
    found = halted(path)
    assert (found.done, found.calibration) == (0, None)


def test_killed_while_it_saves_it_goes_on_from_the_checkpoint_before(base, tmp_path, monkeypatch):
    path = killed(base.path, 4, tmp_path / "run")
    # As orbax calls what it has not completed, and as it is complete before it says whose it is.
    shutil.copytree(path / "checkpoints" / "4", path / "checkpoints" / "4.orbax-checkpoint-tmp")
    (path / "checkpoints" / "4" / "about.json").unlink()
    assert halted(path).done == 2


DAMAGE = {
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "emptied": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
    "changed": lambda file: file.write_bytes(bytes(byte ^ 0x55 for byte in file.read_bytes())),
}


@pytest.mark.parametrize("harm", DAMAGE)
@pytest.mark.parametrize("which", ["about", "arrays"])
def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(which, harm, base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    files = sorted((path / "checkpoints" / "4").rglob("*"), key=lambda f: f.stat().st_size if f.is_file() else 0)
    file = path / "checkpoints" / "4" / "about.json"
    if which == "arrays":
        file = [f for f in files if "/d/" in str(f)][-1]
    DAMAGE[harm](file)
    with pytest.raises(DamagedCheckpoint, match=r"checkpoints/4"):
        read_checkpoint(path, 4)
    found = put_aside(path)
    assert found.done == 2
    assert "it is set aside, and the run goes on from the one before" in found.notes[0]
    assert checkpoint_steps(path) == [2]
    assert (path / "aside" / "001" / "checkpoint-4").is_dir()


def test_a_digest_sees_what_the_format_does_not(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    shutil.rmtree(path / "checkpoints" / "4" / "arrays")
    shutil.copytree(path / "checkpoints" / "2" / "arrays", path / "checkpoints" / "4" / "arrays")
    with pytest.raises(DamagedCheckpoint, match="not what was written"):
        read_checkpoint(path, 4)


def test_a_checkpoint_without_its_lines_does_not_count(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    lines = (path / "steps.jsonl").read_text().splitlines(keepends=True)
    (path / "steps.jsonl").write_text("".join(lines[:3]))
    found = halted(path)
    assert found.done == 2
    assert "checkpoints/4 is set aside: only 3 steps are whole in steps.jsonl and blocks.jsonl" in found.notes


def test_a_finished_run_is_not_made_longer(base):
    with pytest.raises(ValueError, match=r"is finished\. .*--steps.*qnewton report"):
        resume.resumable(base.path)


def change(path, name, **changes):
    """Change fields of a JSON file, `a.b` being b inside a."""
    content = json.loads((path / name).read_text())
    for key, value in changes.items():
        *outer, last = key.split(".")
        place = content
        for part in outer:
            place = place[part]
        place[last] = value
    (path / name).write_text(json.dumps(content))


def as_schema_8(path, *, step):
    """A run of groups as that schema had it: as records of their own in the lines of the steps."""
    whole = [line for line in (path / "blocks.jsonl").read_text().splitlines() if line.endswith("}")]
    groups: dict[int, list[Any]] = {}
    for line in map(json.loads, whole):
        old = {name: line[name] for name in ("name", "count", "vectors", "serves", "estimated")}
        old |= {"rows": line["n"], "log10_condition_number": line["log10_condition_number"], "assumptions": {}}
        for name, entry in line["assumptions"].items():
            seconds = entry["predicted_seconds"].items()
            old["assumptions"][name] = {field: entry[field] for field in ("choice", "verdict", "at_least", "refused")}
            old["assumptions"][name] |= {
                "predicted_seconds": {one: value for one, value in seconds if one not in entry["queries"]},
                "modelled_seconds": {one: value for one, value in seconds if one in entry["queries"]},
            }
        groups.setdefault(line["step"], []).append(old)
    (path / "blocks.jsonl").unlink()
    *lines, _ = (path / "steps.jsonl").read_text().splitlines()
    older = [line | {"systems": groups.get(line["step"])} for line in map(json.loads, lines)]
    (path / "steps.jsonl").write_text("".join(json.dumps(without_crc(line)) + "\n" for line in older))
    change(path, "config.json", schema_version=8)
    change(path, f"checkpoints/{step}/about.json", **{"identity.schema_version": 8})
    resealed(path)


def without_crc(line):
    return {name: value for name, value in line.items() if name != "crc32"}


def as_schema_7(path, *, step):
    """A run as that schema had it: `fidelity`, and the options of all policies in a group of their own."""

    def older(options):
        scheduling = options["scheduling"]
        scheduling |= {"fidelity": "model", "precision": 1e-2, "shots": None, "noise_seed": 0}
        scheduling |= {"quantum_keep": 1.0, "quantum_damping": 0.0, "preconditioner": "none", "rtol": 1e-3}
        assert options["conditioning"] == {"conditioners": ["damp(relative=0.5)"], "adaptation": "levenberg-marquardt"}
        fixed = {"damping_scale": 1.0, "keep": 1.0, "order": "prune-damp"}
        options["conditioning"] = {"damping": 0.5, "adapt_damping": True, **fixed}
        assert scheduling.pop("policy") == "hysteresis"
        options["policy"] = {"policy": "hysteresis", "hysteresis": 1.25, "budget": None, "kappa_threshold": 1e4}

    config = json.loads((path / "config.json").read_text())
    config["schema_version"] = 7
    older(config["options"])
    (path / "config.json").write_text(json.dumps(config))
    file = path / "checkpoints" / str(step) / "about.json"
    about = json.loads(file.read_text())
    about["identity"] |= {"schema_version": 7, "options": config["options"]}
    file.write_text(json.dumps(about))
    *lines, last = (path / "blocks.jsonl").read_text().splitlines()
    older_lines = []
    for line in map(json.loads, lines):
        line.pop("crc32", None)
        execution = line.pop("execution")
        older_lines.append(json.dumps(line | {"fidelity": "model" if execution == "modelled" else execution}))
    (path / "blocks.jsonl").write_text("\n".join([*older_lines, last]))
    resealed(path)


def test_a_run_of_schema_7_goes_on(base, hand_made, read_run, tmp_path):
    target = killed(base.path, 4, tmp_path / "run")
    as_schema_7(target, step=4)
    hears = Hears()
    with hand_made():
        runner.resume(target, hears)
    assert hears.steps == [4, 5]
    again = read_run(target)
    assert [line["loss"] for line in again.steps] == [line["loss"] for line in base.steps]
    found = records(target)
    assert found.config.schema_version == 7
    assert [line.solver for line in found.blocks] == [line["solver"] for line in base.blocks]
    assert [line.execution for line in found.blocks] == [line["execution"] for line in base.blocks]
    assert found.summary is not None
    assert found.summary.execution == base.summary["execution"]


REFUSED = {
    "version": (
        "config.json",
        {"versions.qnewton": "0.0.1"},
        r"began elsewhere: version of qnewton '0.0.1', here .*train anew here, or go on with --anyway",
    ),
    "schema": (
        "config.json",
        {"schema_version": 3},
        r"schema_version is 3, and this version of qnewton reads 9, and 6 to 8",
    ),
    "jax": ("config.json", {"versions.jax": "0.9"}, r"version of jax '0.9', here .*go on where it began"),
    "machine": ("config.json", {"machine.processor": "Z80"}, r"began elsewhere: processor 'Z80', here "),
    "cores": ("config.json", {"machine.usable_cores": 77}, "began elsewhere: usable_cores 77, here "),
    "flags": ("config.json", {"machine.xla_flags": "--xla_x=1"}, "began elsewhere: xla_flags '--xla_x=1', here "),
    "data": (
        "config.json",
        {"data.digests": {"train inputs": "0" * 64}},
        r"data \(three clouds\) are not what they were: the digest of train inputs is [0-9a-f]{12}, and was 0{12}",
    ),
    "calibration": (
        "calibration.json",
        {"environment.usable_cores": 9999},
        r"usable_cores 9999 \(here .*no decision is ever taken by the seconds of another machine",
    ),
    "checkpoint of another task": (
        "checkpoints/4/about.json",
        {"identity.task": "digits28"},
        r"checkpoint of another run: its task is 'digits28', and this run's 'tiny'",
    ),
    "checkpoint of another version": ("checkpoints/4/about.json", {"identity.qnewton": "9"}, "its qnewton is '9'"),
    "checkpoint with other options": (
        "checkpoints/4/about.json",
        {"identity.options.step.learning_rate": 0.5},
        "its options.step.learning_rate is 0.5, and this run's None",
    ),
}


@pytest.mark.parametrize(("name", "changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_belong_together_is_refused_and_left_alone(name, changes, words, base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    change(path, name, **changes)
    resealed(path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(ValueError, match=words):
        runner.resume(path, Hears())
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


ALTERED = {
    "options": ("config.json", {"options.scheduling.gate_time_s": 1.0}, r"config\.json was altered"),
    "versions": ("config.json", {"versions.jax": "0.9"}, r"config\.json was altered"),
    "seed": ("config.json", {"seed": 9}, r"config\.json was altered"),
    "its own digest": ("config.json", {"digests": {"calibration": "0"}}, r"config\.json was altered"),
    "calibration": ("calibration.json", {"gemm_seconds": 7.0}, r"calibration\.json was altered after the run"),
}


@pytest.mark.parametrize(("name", "changes", "words"), ALTERED.values(), ids=ALTERED.keys())
def test_of_a_killed_run_what_it_rests_on_is_verified(name, changes, words, base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    change(path, name, **changes)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(AlteredError, match=words + ".*bring back"):
        runner.resume(path, Hears())
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("name", ["arrays/_METADATA", "_CHECKPOINT_METADATA", "about.json"])
def test_what_orbax_and_we_write_about_a_checkpoint_is_verified(name, base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    file = path / "checkpoints" / "4" / name
    if name == "about.json":
        change(path, "checkpoints/4/about.json", compilation_seconds=1e9)
    else:
        file.write_text("{}")
    found = halted(path)
    assert found.done == 2
    assert re.search(rf"checkpoints/4 is not what was written \({name} has another digest\)", found.notes[0])


def test_on_other_cores_it_goes_on_only_if_it_is_told_to_and_says_so(base, hand_made, read_run, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    change(path, "config.json", **{"machine.usable_cores": 77})
    resealed(path)
    with hand_made():
        summary = runner.resume(path, Hears(), anyway=True)
    assert summary.status == "finished"
    (line,) = [json.loads(line) for line in (path / "resumes.jsonl").read_text().splitlines()]
    assert line["breaks"][0].startswith("usable_cores 77, here ")
    assert any("From step 4 on it went on with --anyway" in note for note in records(path).notes)
    assert [step["loss"] for step in read_run(path).steps] == [step["loss"] for step in base.steps]


def test_a_calibration_that_is_gone_is_not_measured_again(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    (path / "calibration.json").unlink()
    with pytest.raises(ValueError, match=r"calibration.json is gone.*other seconds would lead to other decisions"):
        halted(path)
    (path / "calibration.json").write_text("{")
    with pytest.raises(ValueError, match=r"calibration.json was altered"):
        halted(path)
    resealed(path)
    with pytest.raises(ValueError, match=r"calibration.json: not JSON in UTF-8"):
        halted(path)


def test_other_data_are_refused(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    change(path, "config.json", **{"data.train": 47})
    resealed(path)
    with pytest.raises(ValueError, match=r"three clouds \(47 and 12 held out\), and are now three clouds \(48 and"):
        runner.resume(path, Hears())


def test_two_processes_do_not_train_in_one_directory(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    with RunDirectory(path).owned(), pytest.raises(ValueError, match="belongs to a run that is going on"):
        runner.resume(path, Hears())


def test_code_that_builds_another_state_is_told(base, tmp_path):
    found = read_checkpoint(base.path, 4)
    params = make_task("tiny", "float32").init(jax.random.key(0))
    before: Any = SimpleNamespace(params=params, state=())
    with pytest.raises(ValueError, match=r"of step 4 does not fit what its options build now: the state of the optim"):
        restore(found, before, None, [], [])
    fewer: Any = SimpleNamespace(params=params["out"], state=())
    with pytest.raises(ValueError, match=r"the parameters are others: .* differs\. The code is not the one"):
        restore(found, fewer, None, [], [])


class Stops(Hears):
    """Presses Ctrl-C when it is told of one step."""

    def __init__(self, at: int):
        super().__init__()
        self.at = at

    def step(self, step, blocks):
        super().step(step, blocks)
        if step.step == self.at:
            raise KeyboardInterrupt


def test_ctrl_c_saves_and_the_run_goes_on_from_there(whole, options_of, hand_made, read_run, tmp_path):
    changes = {"preset": "dual-newton", "steps": STEPS, "evaluate_every": 3}
    directory = RunDirectory.create(tmp_path / "run", "unused")
    with hand_made():
        summary = runner.train("tiny", options_of(**changes), directory, Stops(at=2))
    assert (summary.status, summary.steps) == ("interrupted", 3)
    assert checkpoint_steps(directory.path) == [3], "though none was due"
    # Again: what was interrupted may be interrupted, even after its last step.
    assert runner.resume(directory.path, Stops(at=5)).status == "interrupted"
    heard = Hears()
    assert runner.resume(directory.path, heard).status == "finished"
    assert heard.steps == []
    again, files = read_run(directory.path), whole(**changes)
    assert unclocked(again.steps) == unclocked(files.steps)
    assert unclocked(again.summary) == unclocked(files.summary)
    saves = [json.loads(line) for line in (directory.path / "checkpoints.jsonl").read_text().splitlines()]
    assert [save["step"] for save in saves] == [3, 6]
    assert all(save["bytes"] > 1000 and save["measured_seconds"] > 0 for save in saves)


def test_lines_that_are_not_what_they_should_be_are_set_aside_and_computed_again(base, tmp_path):
    path = killed(base.path, 4, tmp_path / "run")
    lines = (path / "blocks.jsonl").read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"degree":', '"degree":"many","was":')
    (path / "blocks.jsonl").write_text("".join(lines))
    found = put_aside(path)
    assert found.done == 2
    assert re.search(
        r"blocks\.jsonl, line 3: the field 'degree' is the string 'many'; .*lines from there on are set aside",
        " ".join(found.notes),
    )
    assert (path / "aside" / "001" / "blocks.jsonl").read_text() == "".join(lines[2:])


def test_a_record_of_resumes_that_is_another_runs_is_refused_before_anything_is_changed(base, tmp_path):
    path = killed(base.path, 2, tmp_path / "run")
    line = '{"resumed":"now","step":0,"set_aside":null,"notes":[],"commit":null,"breaks":[],"crc32":1}'
    (path / "resumes.jsonl").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"resumes\.jsonl, line 1: altered .* or of another run"):
        resume.resumable(path)
    (path / "resumes.jsonl").write_text(line[:20])
    assert resume.resumable(path)[2] == (), "what is cut off is what a kill leaves"


def test_the_newest_few_checkpoints_are_kept(whole):
    files = whole(preset="dual-newton", checkpoint_every=1, steps=5)
    assert checkpoint_steps(files.path) == [5, 4, 3]
    assert sorted(path.name for path in (files.path / "checkpoints").iterdir()) == ["3", "4", "5"]
    assert len((files.path / "checkpoints.jsonl").read_text().splitlines()) == 5


class Full(RunDirectory):
    """Has no more room when the line of one step is to be written."""

    def append(self, name, lines: Any):
        if name == "steps.jsonl" and lines[0].step == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / name))
        super().append(name, lines)


# Coroutines of orbax that fail are left behind.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_disk_that_fills_up_ends_the_run_and_leaves_what_there_is(options_of, read_run, tmp_path, monkeypatch):
    options = options_of("dual-newton", steps=STEPS, checkpoint_every=2)
    directory = Full.create(tmp_path / "run", "unused")
    with pytest.raises(runner.NotWritten, match=r"No space left(.|\n)*What was written before is whole.*--resume"):
        runner.train("tiny", options, directory, Hears())
    assert [step["step"] for step in read_run(directory.path).steps] == [0, 1, 2]
    assert checkpoint_steps(directory.path) == [2]

    save_arrays = checkpoints._save_arrays

    def no_room(*of):
        # The system refuses to write more than so many bytes to a file, in the midst of what orbax writes.
        resource = pytest.importorskip("resource")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
        try:
            save_arrays(*of)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_save_arrays", no_room)
        with pytest.raises(runner.NotWritten, match=r"checkpoints/4 could not be written: (.|\n)*File too large"):
            runner.resume(directory.path, Hears())
    assert sorted(path.name for path in (directory.path / "checkpoints").iterdir()) == ["2"]

    write = RunDirectory.write
    for full in ("manifest.json", "summary.json"):

        def none_left(self, name, content, full=full):
            if name == full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            write(self, name, content)

        with monkeypatch.context() as patch:
            patch.setattr(RunDirectory, "write", none_left)
            with pytest.raises(runner.NotWritten, match=r"No space left(.|\n)*--resume"):
                runner.resume(directory.path, Hears())
        assert not (directory.path / "summary.json").exists(), "or it would not be gone on with"
    assert runner.resume(directory.path, Hears()).status == "finished"


def test_a_run_that_has_no_room_is_refused_before_it_begins(quick, hand_made, tmp_path, monkeypatch):
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000_000))
    directory = RunDirectory.create(tmp_path / "run", "unused")
    with (
        hand_made(),
        pytest.raises(OSError, match=r"some .* MiB \(4 checkpoints of .*9.5 MiB left.*--out.*--steps"),
    ):
        runner.train("tiny", quick(steps=10_000), directory, Hears())
    assert not list(directory.path.iterdir())
