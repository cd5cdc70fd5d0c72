"""What the command line says to bad input: one clear message, exit status 2, no traceback, nothing left on disk."""

import re

import pytest

# Arguments, and what the message must hold.
UNKNOWN = {
    "command": (["trian"], ["unknown command 'trian'", "did you mean 'train'"]),
    "command like no other": (
        ["zzz"],
        ["unknown command 'zzz'", "Valid: breakeven, calibrate, circuit, compare, completion, explain, explore, noise"],
    ),
    "task": (["train", "digits-mpl"], ["unknown task 'digits-mpl'", "did you mean 'digits-mlp'"]),
    "preset": (["train", "tiny", "--preset", "papr"], ["unknown preset 'papr'", "did you mean 'paper'"]),
    "preset with =": (["train", "tiny", "--preset=paper-cod"], ["unknown preset", "did you mean 'paper-code'"]),
    "option": (["train", "tiny", "--stpes", "2"], ["--stpes", "--steps"]),
    "option of a group": (["train", "tiny", "--gate-tme-s", "1"], ["--gate-tme-s", "--gate-time-s"]),
    "choice": (
        ["train", "tiny", "--curvature", "hesian"],
        ["--curvature: unknown curvature 'hesian'", "did you mean 'hessian'", "gauss-newton"],
    ),
    "solver": (
        ["train", "tiny", "--solvers", "lu", "qr"],
        ["--solvers: unknown solver 'qr'", "cholesky", "minres", "dual", "qlsa"],
    ),
    "preconditioner": (
        ["train", "tiny", "--solvers", "cg(preconditioner=kfca)"],
        ["--solvers cg, preconditioner: unknown preconditioner 'kfca'", "did you mean 'kfac'"],
    ),
    "parameter": (
        ["train", "tiny", "--estimator", "lanczos(stepps=3)"],
        ["--estimator lanczos: unknown parameter 'stepps'", "did you mean 'steps'"],
    ),
    "optimizer": (
        ["train", "tiny", "--optimizer", "adadelta"],
        ["--optimizer: unknown optimizer 'adadelta'", "newton", "dual-newton"],
    ),
    "preset of an optimizer": (["train", "tiny", "--preset", "dual"], ["unknown preset 'dual'", "dual-newton"]),
    "policy": (
        ["train", "tiny", "--policy", "hysteresys"],
        ["--policy: unknown policy 'hysteresys'", "did you mean 'hysteresis'", "fastest"],
    ),
    "candidate": (
        ["train", "tiny", "--preset", "blocks", "--policy", "fixed-candidate(lo)"],
        ["--policy fixed-candidate(name=lo): unknown candidate 'lo'", "did you mean 'lu'", "of --solvers"],
    ),
    "second task": (["train", "tiny", "tiny"], ["Unrecognized", "tiny"]),
    "option of report": (["report", ".", "--stpes", "2"], ["--stpes"]),
}

RANGES = {
    "keep 0": (["--conditioners", "prune(0)"], ["--conditioners prune(keep=0): keep ratio is 0", "(0, 1]"]),
    "keep 1.5": (["--conditioners", "damp", "prune(1.5)"], ["keep ratio is 1.5", "(0, 1]"]),
    "damping -1": (["--conditioners", "damp(-1)"], ["relative damping is -1", "at least 0"]),
    "damping=-1": (["--conditioners=damp(-1)"], ["relative damping is -1", "at least 0"]),
    "adaptation": (["--adaptation", "fixd"], ["--adaptation: unknown adaptation 'fixd'", "did you mean 'fixed'"]),
    "shrink": (["--adaptation", "levenberg-marquardt(shrink=2)"], ["shrink is 2", "0 < shrink < 1"]),
    "steps 0": (["--steps", "0"], ["--steps is 0", "at least 1"]),
    "steps -3": (["--steps", "-3"], ["--steps is -3", "at least 1"]),
    "steps two": (["--steps", "two"], ["--steps", "two"]),
    "steps 1.5": (["--steps", "1.5"], ["--steps", "1.5"]),
    "batch 0": (["--batch-size", "0"], ["--batch-size is 0", "at least 1"]),
    "evaluate every 0": (["--evaluate-every", "0"], ["--evaluate-every is 0", "at least 1"]),
    "seed -1": (["--seed", "-1"], ["--seed is -1", "from 0"]),
    "seed of 20 digits": (["--seed", "99999999999999999999"], ["--seed is 99999999999999999999", "from 0"]),
    "learning rate -1": (["--learning-rate", "-1"], ["--learning-rate is -1", "positive"]),
    "warm-up -1": (["--warmup-steps", "-1"], ["--warmup-steps is -1", "at least 0"]),
    "clip 0": (["--clip", "0"], ["--clip is 0", "positive, or None"]),
    "gate time 0": (["--gate-time-s", "0"], ["--gate-time-s is 0", "seconds"]),
    "gate time negative": (["--gate-time-s", "-1e-9"], ["--gate-time-s is -1e-09", "seconds"]),
    "gate time 1e-50": (["--gate-time-s", "1e-50"], ["--gate-time-s is 1e-50", "from 1e-30"]),
    "one of the gate times": (["--gate-times-s", "1e-9", "0"], ["--gate-times-s holds 0", "seconds"]),
    "precision 1": (["--solvers", "lu", "qlsa(precision=1)"], ["precision is 1", "(0, 1)"]),
    "rtol 2": (["--solvers", "cg(rtol=2)"], ["--solvers cg(rtol=2): rtol is 2", "(0, 1)"]),
    "threshold 0": (["--policy", "kappa-threshold(0)"], ["--policy kappa-threshold(threshold=0)", "from 1 on"]),
    "hysteresis 0.5": (["--policy", "hysteresis(0.5)"], ["factor is 0.5", "at least 1"]),
    "budget 0": (["--policy", "budget(0)"], ["--policy budget(limit=0): limit is 0", "positive"]),
    "rate -1": (["--policy", "budget(1, quantum_rate=-1)"], ["quantum_rate is -1", "at least 0"]),
    "fixed without": (["--policy", "fixed-candidate"], ["--policy fixed-candidate needs name"]),
    "fixed on nobody": (
        ["--policy", "fixed-candidate(minres)", "--solvers", "lu", "qlsa"],
        ["unknown candidate 'minres'", "lu, qlsa"],
    ),
    "budget without": (["--policy", "budget"], ["--policy budget needs limit, as budget(limit=...)"]),
    "a word for a number": (["--policy", "budget(much)"], ["--policy budget, limit is much: it must be a number"]),
    "not closed": (["--policy", "budget("], ["--policy is 'budget('", "a word with its parameters"]),
    "nobody works": (["--policy", "makespan(0, 0)"], ["makespan has no worker", "at least 1"]),
    "not read": (
        ["--preset", "kfac", "--conditioners", "damp(0.1)"],
        ["--conditioners is damp(relative=0.1), and --optimizer kfac", "--preset blocks"],
    ),
    "dual and Hessian": (["--solvers", "dual", "--curvature", "hessian"], ["--solvers names dual", "omit dual"]),
    "a solver twice": (["--solvers", "lu", "lu"], ["--solvers is lu lu", "twice"]),
    "no solvers": (["--solvers"], ["--solvers is empty"]),
    "no value": (["--steps"], ["--steps", "value"]),
    "no preset": (["--preset"], ["--preset", "value"]),
    "excluded": (
        ["--conditioners", "damp", "prune-rows(0.5)"],
        ["--solvers names cholesky", "use --solvers lu qlsa"],
    ),
}


def check(outcome, words):
    assert outcome.status == 2
    for word in words:
        assert word in outcome.said, outcome.said
    assert "Traceback" not in outcome.said
    assert outcome.out == "", "errors go to stderr"
    # What we say ourselves is one line; what the parser says has a box around it.
    if outcome.err.startswith("qnewton: "):
        assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "words"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_name_gets_the_nearest_valid_one(arguments, words, call, tmp_path):
    check(call(*arguments), words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "words"), RANGES.values(), ids=RANGES.keys())
def test_a_value_out_of_range_is_named_with_its_option_and_its_rule(arguments, words, call, tmp_path):
    preset = () if "--preset" in arguments else ("--preset", "blocks")
    check(call("train", "tiny", *preset, *arguments), words)
    assert not list(tmp_path.iterdir()), "a run that cannot start leaves no directory"


def test_no_task_is_asked_for(call):
    outcome = call("train")
    check(outcome, ["Missing", "What to train"])


def test_an_output_that_holds_something_is_refused(call, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    check(call("train", "tiny", "--out", "full"), ["full exists and is not an empty directory", "--out"])
    check(call("train", "tiny", "--out", "full/notes.txt"), ["notes.txt exists", "ever overwritten"])
    check(call("train", "tiny", "--out", "full/notes.txt/below"), ["Not a directory"])
    assert [path.name for path in full.iterdir()] == ["notes.txt"]
    assert (full / "notes.txt").read_text() == "mine"


def test_report_wants_the_directory_of_a_run(call, tmp_path):
    check(call("report", "nowhere"), ["nowhere", "config.json"])
    (tmp_path / "config.json").write_text("{broken")
    check(call("report", "."), ["config.json", "not JSON in UTF-8"])
    check(call("report"), ["Missing", "Directory of the run"])


def test_memory_that_does_not_suffice_is_a_message(call, quick, monkeypatch):
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 1000)
    outcome = call("train", "tiny", *quick)
    assert outcome.status == 2
    assert "qnewton: the dense block `params` has 24 rows" in outcome.err
    assert "Traceback" not in outcome.said


def test_a_step_that_the_compiler_plans_beyond_memory_is_a_message(call, tmp_path, monkeypatch):
    monkeypatch.setattr("qnewton._core.memory.available_bytes", lambda: 10)
    outcome = call("train", "tiny", "--preset", "kfac", "--out", "run")
    assert outcome.status == 2
    assert re.search(r"a step would need [\d.]+ \w+ besides .* 10 bytes are free: --optimizer kfac works", outcome.said)
    assert "Use --preset fisher-newton" in outcome.said
    assert not (tmp_path / "run").exists()
