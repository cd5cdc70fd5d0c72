"""Words for objects of the library: what there is, how it is read, and how it was spelt before."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

import qnewton as q
from qnewton._pricing.policies import Fastest
from qnewton.lab._cli.train import parse
from qnewton.lab._experiments import parts
from qnewton.lab._experiments.older import present_arguments, present_parts
from qnewton.lab._experiments.parts import catalogue, make, number_of, part

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_options", DOCS / "make_options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_json_has_the_words_of_one_kind_or_of_all(call):
    assert json.loads(call("parts", "policy", "--json").out) == {"policy": catalogue()["policy"]}
    assert json.loads(call("parts", "--json").out) == catalogue()


def test_the_catalogue_is_that_of_the_classes(generator):
    assert generator.FILE.read_text("utf-8") == generator.text(), "run docs/make_options.py"


class SlowestFirst(Fastest):
    """A policy that only this test has.

    Attributes:
        patience: seconds.
    """

    patience: float = 2.0
    remembers: ClassVar[bool] = False


def test_a_new_class_is_an_option_without_another_line(generator, monkeypatch):
    monkeypatch.setattr(generator.workers, "SlowestFirst", SlowestFirst, raising=False)
    found = generator.catalogue()
    monkeypatch.setattr(parts, "catalogue", lambda: found)
    options = parse(["digits-mlp", "--preset", "blocks"]).options
    assert options.scheduling.policy == "fastest"
    made = part.__wrapped__("policy", "slowest-first(patience=3)", "policy").make("policy")
    assert made == SlowestFirst(3.0)
    assert any("patience: seconds." in line for line in parts.described("policy"))


@pytest.mark.parametrize("kind", catalogue())
def test_every_word_that_needs_nothing_makes_its_object(kind):
    for word, about in catalogue()[kind].items():
        if all(one["default"] is not None for one in about["parameters"].values()):
            made = make(kind, word, "option")
            name = about["class"].partition(":")[2]
            assert name in (type(made).__name__, getattr(made, "name", None), getattr(made, "__name__", None))


OBJECTS = {
    "positional": ("solver", "cg(1e-5)", q.CG(1e-5)),
    "nested": ("solver", "cg(preconditioner=nystrom(3))", q.CG(preconditioner=q.Nystrom(3))),
    "none": ("solver", "minres(max_steps=None)", q.MINRES()),
    "boolean": ("solver", "eigh(least_squares=true)", q.Eigh(least_squares=True)),
    "of another kind": ("estimator", "reuse(exact, 3)", q.estimators.Reuse(q.estimators.Exact(), 3)),
    "several": ("estimator", "bracket(steps=(8, 16))", q.estimators.Bracket(steps=(8, 16))),
    "one of several": (
        "solver",
        "conditioned(qlsa, prune(0.5))",
        q.solvers.Conditioned(q.QLSA(), [q.Prune(0.5)]),
    ),
    "a count": ("solver", "qlsa(queries=costa2021-definite)", q.QLSA(queries=q.queries.costa2021_definite)),
    "an integer for a number": ("policy", "kappa-threshold(30)", q.scheduling.KappaThreshold(30.0)),
    "a word": ("policy", "fixed-candidate(gauss-jordan)", q.scheduling.FixedCandidate("gauss-jordan")),
    "a small number": ("conditioner", "damp(5e-3)", q.Damp(5e-3)),
}


@pytest.mark.parametrize(("kind", "text", "expected"), OBJECTS.values(), ids=OBJECTS.keys())
def test_words_are_the_objects_and_are_read_as_they_are_written(kind, text, expected):
    found = part(kind, text, "option")
    assert found.make("option") == expected
    assert part(kind, str(found), "option") == found


def test_options_keep_words_in_one_form(capsys):
    one, other = (
        parse(["digits-mlp", "--preset", "blocks", "--solvers", "lu", solver, "--policy", policy]).options
        for solver, policy in (("cg(1e-5)", "budget(3)"), (" cg( rtol = 0.00001 ) ", "budget(limit=3.0)"))
    )
    assert one == other
    assert one.scheduling.solvers == ("lu", "cg(rtol=1e-05)")
    assert one.scheduling.policy == "budget(limit=3)"
    with pytest.raises(SystemExit):
        parse(["digits-mlp", "--preset", "blocks", "--solvers", "cg(1e-5)", "cg(rtol=0.00001)"])
    assert "it names one twice" in capsys.readouterr().err


WRONG = {
    "parameter twice": ("policy", "hysteresis(2, factor=3, 4)", "give a word"),
    "too many": ("policy", "hysteresis(2, 3)", "takes 1 parameters, and got 2"),
    "not whole": ("policy", "makespan(quantum_workers=1.5)", "quantum_workers is 1.5: it must be an integer"),
    "true for a number": ("policy", "budget(true)", "limit is True: it must be a number"),
    "no number": ("solver", "cg(rtol=jacobi)", "rtol is jacobi: it must be a number"),
    "another kind": ("solver", "cg(preconditioner=lu)", "unknown preconditioner 'lu'"),
    "code": ("solver", "__import__('os')", "unknown solver"),
    "an expression": ("policy", "budget(2 + 2)", "it must be a number"),
    "nothing": ("policy", "", "give a word"),
}


@pytest.mark.parametrize(("kind", "text", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_part_is_refused_with_its_place(kind, text, words):
    with pytest.raises(ValueError, match=f"^--option.*{re.escape(words)}"):
        part(kind, text, "option")


OLDER = {
    "policy": (
        ["--policy", "budget", "--budget", "3", "--quantum-rate", "2"],
        ["--policy", "budget(limit=3, quantum_rate=2)"],
    ),
    "fixed": (["--policy=fixed", "--fixed-solver", "lu"], ["--policy", "fixed-candidate(name=lu)"]),
    "workers": (
        ["--policy", "makespan", "--vanish", "quantum 0@2", "classical 0@3"],
        ["--policy", "makespan(vanish=('quantum 0@2', 'classical 0@3'))"],
    ),
    "estimator": (["--second-estimator", "probabilistic"], ["--second-estimator", "probabilistic-lanczos"]),
    "curvature": (
        ["--curvature", "empirical-fisher-published"],
        ["--curvature", "empirical-fisher(damping_floor=0)"],
    ),
    "krylov": (
        ["--solvers", "lu", "cg", "--preconditioner", "kfac", "--rtol", "1e-2"],
        ["--solvers", "lu", "cg(preconditioner=kfac, rtol=1e-2)"],
    ),
    "momentum": (["--optimizer", "momentum", "--momentum", "0.8"], ["--optimizer", "momentum(momentum=0.8)"]),
    "decay": (["--optimizer", "adamw", "--weight-decay", "0.1"], ["--optimizer", "adamw(weight_decay=0.1)"]),
    "memory": (["--optimizer", "lbfgs", "--memory", "9"], ["--optimizer", "lbfgs(memory=9)"]),
    "recipe": (["--preset", "recipe"], ["--preset", "default"]),
    "optimizer": (["--optimizer", "recipe"], ["--family", "automatic"]),
}


@pytest.mark.parametrize(("older", "present"), OLDER.values(), ids=OLDER.keys())
def test_an_older_spelling_is_understood_with_a_warning(older, present, capsys):
    assert present_arguments(["tiny", *older, "--steps", "2"]) == ["tiny", *present, "--steps", "2"]
    said = capsys.readouterr().err
    assert "older spelling" in said
    assert present[0] in said
    assert present_arguments(["tiny", *present]) == ["tiny", *present]
    assert capsys.readouterr().err == ""


def test_weight_decay_is_an_option_of_newton(capsys):
    assert present_arguments(["tiny", "--weight-decay", "0.1"]) == ["tiny", "--weight-decay", "0.1"]
    assert capsys.readouterr().err == ""


def test_an_option_of_another_policy_is_refused():
    with pytest.raises(ValueError, match=r"--budget is 3, and --policy fastest does not read it.*budget.limit=3"):
        present_arguments(["tiny", "--budget", "3"])
    with pytest.raises(ValueError, match=r"--rtol: parameters of cg and minres now.*cg.rtol=1e-2"):
        present_arguments(["tiny", "--solvers", "lu", "--rtol", "1e-2"])


def test_the_parts_are_listed_and_explained(call):
    outcome = call("parts")
    assert outcome.status == 0
    assert "policy: budget, fastest, fixed-candidate" in outcome.out
    outcome = call("parts", "policy")
    assert "kappa-threshold(threshold=10000): " in outcome.out
    assert "what a step may spend" in outcome.out
    outcome = call("parts", "solvr")
    assert outcome.status == 2
    assert "did you mean 'solver'" in outcome.said


STARTS = (("prune(keep=0.5)", "damp(relative=0.005)"), ("lu", "qlsa"))
PARTS = {
    "damping": (["--damping", "0.1"], ["--conditioners", "prune(keep=0.5)", "damp(relative=0.1)"]),
    "keep": (["--keep", "1", "--damping=0.2"], ["--conditioners", "damp(relative=0.2)"]),
    "order": (
        ["--order", "damp-prune-rows"],
        ["--conditioners", "damp(relative=0.005, offset=1e-6)", "prune-rows(keep=0.5)"],
    ),
    "fixed": (["--no-adapt-damping", "--damping-scale", "1"], ["--adaptation", "fixed"]),
    "scale": (["--damping-scale", "30"], ["--adaptation", "levenberg-marquardt(damping=30)"]),
    "precision": (["--precision", "0.1"], ["--solvers", "lu", "qlsa(precision=0.1)"]),
    "modelled": (["--fidelity", "model"], ["--solvers", "lu", "qlsa"]),
    "emulated": (
        ["--policy", "fixed-candidate(qlsa)", "--execution", "emulated", "--shots", "9", "--noise-seed", "3"],
        [
            *("--policy", "fixed-candidate(name=emulated-qsvt)"),
            *("--solvers", "lu", "emulated-qsvt(measurement=shots(9), length=line-fit, seed=3)"),
        ],
    ),
    "own": (
        ["--solvers", "qlsa", "--quantum-keep", "0.5"],
        ["--solvers", "conditioned(qlsa, (prune(0.5),), always=true)"],
    ),
}


@pytest.mark.parametrize(("older", "present"), PARTS.values(), ids=PARTS.keys())
def test_older_options_become_parameters_of_what_they_were_about(older, present, capsys):
    found = present_parts(present_arguments(["tiny", *older]), *STARTS)
    assert found == ["tiny", *present]
    assert "older spelling" in capsys.readouterr().err
    assert present_parts(found, *STARTS) == found
    for option, kind in (("--conditioners", "conditioner"), ("--adaptation", "adaptation"), ("--solvers", "solver")):
        for text in found[found.index(option) + 1 :] if option in found else ():
            part(kind, text, option).make(option)


def test_an_older_option_of_no_quantum_solver_is_refused():
    with pytest.raises(ValueError, match=r"--precision is 0\.1, and --solvers lu names no qlsa"):
        present_parts(["tiny", "--precision", "0.1"], (), ("lu",))
    with pytest.raises(ValueError, match=r"^--keep: older options, .* and --conditioners is given: omit the older"):
        present_parts(["tiny", "--keep", "1", "--conditioners", "damp"], *STARTS)
    with pytest.raises(ValueError, match=r"--shots is 5, and qlsa has no state to measure: use .*shots\(1000\)"):
        present_parts(["tiny", "--shots", "5"], *STARTS)


@pytest.mark.parametrize(
    ("text", "precision"),
    [("qlsa", 1e-2), ("conditioned(qlsa(precision=0.1), damp(1))", 0.1), ("emulated-qsvt(0.2)", 0.2), ("lu", None)],
)
def test_a_number_of_a_part_or_inside_it_is_found_without_making_it(text, precision):
    assert number_of(part("solver", text, "solvers"), "precision") == precision
