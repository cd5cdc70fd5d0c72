"""From options to objects: presets, schedules, and combinations that cannot work."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import qnewton as q
from qnewton._core.trees import leaf_names
from qnewton.lab._experiments import build, checks
from qnewton.lab._experiments.options import SchedulingOptions, StepOptions, TrainOptions
from qnewton.lab._experiments.presets import PRESETS, preset_for
from qnewton.lab._experiments.task_options import BertOptions, GptOptions, TextOptions
from qnewton.lab._experiments.tasks import make_task

# Options, steps, and the learning rate of each step by hand.
SCHEDULES = {
    "constant": ({}, 4, [2.0, 2.0, 2.0, 2.0], 2.0),
    "warm-up": ({"warmup_steps": 4}, 6, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0], 2.0),
    "warm-up of one step": ({"warmup_steps": 1}, 3, [2.0, 2.0, 2.0], 2.0),
    "decay": ({"decay": True}, 4, [2.0, 1.5, 1.0, 0.5], 0.0),
    "both": ({"warmup_steps": 2, "decay": True}, 6, [1.0, 2.0, 2.0, 1.5, 1.0, 0.5], 0.0),
    "warm-up longer than the training": ({"warmup_steps": 9}, 3, [2 / 3, 4 / 3, 2.0], 2.0),
    "one step of decay": ({"decay": True}, 1, [2.0], 0.0),
    "one step of both": ({"warmup_steps": 1, "decay": True}, 1, [2.0], None),
}


@pytest.mark.parametrize(("options", "steps", "rates", "after"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_schedules_by_hand(options, steps, rates, after):
    schedule: Any = build.make_schedule(StepOptions(learning_rate=2.0, **options), steps)
    assert [float(schedule(count)) for count in range(steps)] == pytest.approx(rates, rel=1e-6)
    if after is not None:
        assert float(schedule(steps)) == pytest.approx(after, abs=1e-6)


def test_the_paper_preset_is_the_published_one():
    paper = PRESETS["paper"]
    assert paper.preset == "paper"
    assert paper.training.batch_size == 2048
    assert dataclasses.asdict(paper.step) == {
        "curvature": "hessian",
        "partition": "per-tensor",
        "largest": None,
        "learning_rate": 1e-2,
        "warmup_steps": 20,
        "decay": True,
        "weight_decay": 0.0,
        "clip": 100.0,
    }
    assert dataclasses.asdict(paper.conditioning) == {
        "conditioners": ("prune(keep=0.5)", "damp(relative=0.005)"),
        "adaptation": "fixed",
    }
    assert paper.scheduling.solvers == ("lu", "qlsa")
    assert paper.scheduling.assumptions == ("paper",)
    # What the words stand for.
    assert build.make_curvature(paper.step) == q.Hessian()
    assert build.make_partition(paper.step) is q.per_tensor
    assert build.make_adaptation(paper.conditioning) == q.Fixed()
    # All three components: pruning and regularisation here, determinant and norm below, the true number beside it.
    assert build.make_conditioning(paper.conditioning) == (q.Prune(0.5), q.Damp(5e-3))
    hybrid = build.make_hybrid(paper.scheduling)
    assert (hybrid.estimator, hybrid.second) == (q.estimators.DeterminantNorm(), q.estimators.Automatic())
    assert build.make_solvers(paper.scheduling) == (q.LU(), q.QLSA(queries=q.queries.jennings2023v1, precision=1e-2))
    schedule: Any = build.make_schedule(paper.step, paper.training.steps)
    assert float(schedule(0)) == pytest.approx(1e-2 / 20)
    assert float(schedule(19)) == pytest.approx(1e-2)
    middle = 20 + (paper.training.steps - 20) // 2
    assert float(schedule(middle)) == pytest.approx(5e-3, rel=1e-2)


def test_paper_code_is_the_paper_with_the_order_and_rows_of_its_code():
    paper, code = PRESETS["paper"], PRESETS["paper-code"]
    assert code.preset == "paper-code"
    assert (code.training, code.step) == (paper.training, paper.step)
    # Its function of determinant and norm is called by nothing.
    acting = dataclasses.replace(paper.scheduling, estimator="automatic", second_estimator=None)
    assert code.scheduling == acting
    damp, prune = build.make_conditioning(code.conditioning)
    assert damp == q.Damp(5e-3, offset=1e-6)
    assert isinstance(prune, q.conditioning.PruneRows)
    assert 0 < prune.keep < 1
    assert build.make_adaptation(code.conditioning) == q.Fixed()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_run_and_calls_itself_by_its_name(name):
    checks.check(PRESETS[name])
    assert PRESETS[name].preset == name


@pytest.mark.parametrize("precision", [1e-3, 0.2])
def test_the_precision_reaches_the_quantum_candidate(precision):
    solvers: Any = build.make_solvers(SchedulingOptions(solvers=(f"qlsa(precision={precision})", "lu")))
    assert [solver.name for solver in solvers] == ["QLSA(jennings2023v1)", "LU"]
    assert solvers[0].precision == precision


def test_the_words_of_solvers_are_the_objects():
    expected = {
        "cholesky": q.Cholesky(fallback=True),
        "lu": q.LU(),
        "inverse": q.Inverse(),
        "gauss-jordan": q.GaussJordan(),
        "eigh": q.Eigh(),
        "cg(rtol=1e-5, preconditioner=ekfac)": q.CG(1e-5, preconditioner=q.EKFAC()),
        "minres": q.MINRES(),
        "dual": q.Dual(),
        "qlsa": q.QLSA(precision=1e-2),
    }
    solvers = build.make_solvers(SchedulingOptions(solvers=tuple(expected)))
    assert dict(zip(expected, solvers, strict=True)) == expected


FORMS = {
    "matrices alone": ({}, False, False),
    "one takes operators": ({"solvers": ("lu", "cg")}, True, False),
    "all take operators": ({"solvers": ("dual", "cg")}, True, True),
    "but pruning forms": ({"solvers": ("cg",), "conditioners": ("prune(0.5)",)}, False, False),
    "but the estimator forms": ({"solvers": ("cg",), "estimator": "exact"}, False, False),
    "nothing is proven of a Hessian": ({"solvers": ("minres",), "curvature": "hessian"}, False, False),
    "nor need be": ({"solvers": ("minres",), "curvature": "hessian", "estimator": "lanczos"}, True, True),
}


@pytest.mark.parametrize(("task", "rate"), [(BertOptions, 0.05), (GptOptions, 0.1)])
def test_the_paper_preset_of_a_language_model_is_the_published_one(task, rate):
    paper = dataclasses.replace(preset_for("paper", task), task=task(hidden=32, intermediate=64))
    checks.check(paper)
    assert (paper.training.batch_size, paper.step.warmup_steps, paper.step.decay) == (128, 1000, True)
    assert paper.step.learning_rate == rate
    assert build.make_curvature(paper.step) == q.EmpiricalFisher(damping_floor=0.0)
    assert build.make_conditioning(paper.conditioning) == (q.Prune(0.5), q.Damp(5e-3))
    # The released sweeps of these models keep everything.
    assert build.make_conditioning(preset_for("paper-code", task).conditioning) == (q.Damp(5e-3),)
    assert paper.step.weight_decay == 0.01
    assert preset_for("paper", task).task == task(embeddings="frozen")
    # 4 x 32 x 64 + 4 x 32 parameters at most, of linear layers alone.
    params = {"up": jnp.zeros((130, 64)), "down": jnp.zeros((131, 64)), "norm": jnp.zeros(32), "head": jnp.zeros(32)}
    assert [block.name for block in build.systems(paper, params)] == ["up"]
    with pytest.raises(ValueError, match=r"none of the blocks norm \(32\): "):
        build.systems(paper, {"norm": params["norm"]})
    assert preset_for("blocks", task) is PRESETS["blocks"]
    assert checks.check(preset_for("fisher-newton", task)) is None


@pytest.mark.parametrize("task", [BertOptions, GptOptions])
def test_the_paper_preset_solves_every_linear_layer_inside_the_transformer_and_nothing_else(task):
    sizes = {"layers": 2, "hidden": 16, "intermediate": 24}
    text = TextOptions(vocabulary=300, length=8, sequences=16)
    paper = dataclasses.replace(preset_for("paper", task), task=task(**sizes, embeddings="frozen", text=text))
    made = make_task({BertOptions: "bert-tiny", GptOptions: "gpt-tiny"}[task], "float32", paper.task)
    params = jax.eval_shape(made.init, jax.random.key(0))
    solved = {block.name for block in build.systems(paper, params)}
    inside = {name for name in leaf_names(params) if name.startswith("layers.") and "norm" not in name}
    assert solved == inside
    assert len(inside) >= 2 * 6
    assert "head.weight" in leaf_names(params)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (StepOptions(largest="published"), "inside the transformers of bert-tiny and gpt-tiny, .* give a number"),
        (StepOptions(largest=10), "Add --adaptation fixed"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(step, message):
    with pytest.raises(ValueError, match=message):
        checks.check(TrainOptions(step=step))
    with pytest.raises(ValueError, match="--largest is 0"):
        StepOptions(largest=0)


@pytest.mark.parametrize("task", [BertOptions, GptOptions])
def test_the_published_choice_needs_blocks_of_single_layers(task):
    paper = dataclasses.replace(preset_for("paper", task), task=task())
    for partition in ("per-tensor", "per-layer"):
        checks.check(dataclasses.replace(paper, step=dataclasses.replace(paper.step, partition=partition)))
    whole = dataclasses.replace(paper, step=dataclasses.replace(paper.step, partition="whole"))
    with pytest.raises(ValueError, match=r"--largest is published.* --partition whole has .*--partition per-tensor"):
        checks.check(whole)
    checks.check(dataclasses.replace(whole, step=dataclasses.replace(whole.step, largest=None)))


@pytest.mark.parametrize(
    ("partition", "largest", "message"),
    [
        ("whole", 13, "--partition whole has 14 parameters.* give 14 or more, or a finer --partition$"),
        ("per-layer", 4, "--partition per-layer has 5 parameters.* give 5 or more, or a finer --partition$"),
        ("per-tensor", 1, "--partition per-tensor has 2 parameters.* give 2 or more$"),
    ],
)
def test_a_limit_below_every_block_names_the_least_that_works(partition, largest, message):
    params = {"a": {"w": jnp.zeros((3, 2)), "b": jnp.zeros(3)}, "c": {"w": jnp.zeros(3), "b": jnp.zeros(2)}}
    limited = TrainOptions(step=StepOptions(partition=partition, largest=largest))
    with pytest.raises(ValueError, match=f"^--largest is {largest}, and the smallest block of {message}"):
        build.systems(limited, params)
    enough = dataclasses.replace(limited, step=dataclasses.replace(limited.step, largest=largest + 1))
    assert [block.n for block in build.systems(enough, params)] == [largest + 1]


@pytest.mark.parametrize(("changes", "unformed", "never"), FORMS.values(), ids=FORMS.keys())
def test_what_is_formed_follows_from_the_options(changes, unformed, never, options_of):
    options = options_of(**changes)
    assert (build.keeps_unformed(options), build.never_forms(options)) == (unformed, never)


def test_every_preset_of_the_command_line_is_there():
    # A choice without an object behind it would fail only when it is used.
    assert set(TrainOptions.__dataclass_fields__["preset"].type.__args__) == set(PRESETS)


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "--assumptions is empty: name at least one set"), (("paper", "paper"), "paper paper: it names one twice")],
)
def test_assumption_sets_are_some_and_different(names, message):
    with pytest.raises(ValueError, match=message):
        SchedulingOptions(assumptions=names)


def test_the_sets_and_their_machine_reach_the_scheduler():
    options = SchedulingOptions(assumptions=("end_to_end", "paper"), hardware="majorana", gate_time_s=1e-9)
    hybrid = build.make_hybrid(options)
    assert [assumed.name for assumed in hybrid.assumptions] == ["end_to_end", "paper"]
    profile = build.load_profile("majorana")
    assert isinstance(profile, q.hardware.QuantumProfile)
    assert hybrid.quantum == q.QuantumMachine(1e-9, profile)


def test_the_hybrid_is_what_the_options_say():
    machine = q.ClassicalMachine("made by hand", "float32", ())
    options = SchedulingOptions(
        solvers=("lu",), estimator="exact", gate_time_s=3e-7, policy="kappa-threshold(threshold=30)"
    )
    hybrid = build.make_hybrid(options, machine)
    assert hybrid.names == ("LU",)
    assert hybrid.estimator == q.estimators.Exact()
    assert hybrid.quantum.gate_time_s == 3e-7
    assert [assumed.name for assumed in hybrid.assumptions] == ["paper"]
    assert hybrid.classical is machine
    assert hybrid.policy == q.scheduling.KappaThreshold(30.0)


POLICIES = {
    "fastest": q.scheduling.Fastest(),
    "kappa-threshold(30)": q.scheduling.KappaThreshold(30.0),
    "fixed-candidate(qlsa)": q.scheduling.FixedCandidate("QLSA(jennings2023v1)"),
    "hysteresis(factor=2)": q.scheduling.Hysteresis(2.0),
    "budget(5, classical_rate=65, quantum_rate=25e3)": q.scheduling.Budget(5.0, 65.0, 25e3),
}


@pytest.mark.parametrize("text", POLICIES)
def test_a_policy_in_words_is_the_object(text, options_of):
    options = options_of(policy=text)
    checks.check(options)
    assert build.make_policy(options.scheduling) == POLICIES[text]


EXCLUSIVE = {
    "rows and Cholesky": (
        "paper-code",
        {"solvers": ("cholesky", "lu")},
        "cholesky.*prune-rows.*use --solvers lu qlsa",
    ),
    "rows and Lanczos": ("paper-code", {"estimator": "lanczos"}, "lanczos needs symmetric.*automatic"),
    "rows and definite": ("paper-code", {"estimator": "definite-determinant-norm"}, "definite-determinant-norm needs"),
    "dual and a second estimator's matrix": (
        "blocks",
        {"solvers": ("lu", "dual"), "second_estimator": "exact"},
        "--second-estimator exact needs the matrix: use --second-estimator lanczos, or None",
    ),
    "rows and a second estimator": ("paper-code", {"second_estimator": "lanczos"}, "--second-estimator lanczos needs"),
    "a second estimator's floor": ("paper", {"second_estimator": "certified"}, "--second-estimator certified needs"),
    "rows and others that need symmetry": (
        "paper-code",
        {"solvers": ("cg", "lu", "minres")},
        "--solvers names cg, minres, and --conditioners prune-rows",
    ),
    "dual and Hessian": ("paper", {"solvers": ("lu", "dual")}, "dual.*no square root.*gauss-newton"),
    "dual and pruning": (
        "blocks",
        {"solvers": ("dual",), "conditioners": ("damp", "threshold(0.5)")},
        "dual.*--conditioners threshold.tau=0.5. needs the matrix: leave that out",
    ),
    "a repair of nothing": ("blocks", {"conditioners": ("damp", "compensate")}, "Compensate found nothing"),
    "a spectrum of rows": (
        "blocks",
        {"solvers": ("lu",), "conditioners": ("prune-rows(0.5)", "damp-to(100)")},
        "DampTo needs a symmetric matrix",
    ),
    "dual and a matrix's estimator": (
        "blocks",
        {"solvers": ("lu", "dual"), "estimator": "exact"},
        "--solvers dual.*--estimator exact needs the matrix.*automatic",
    ),
    "K-FAC and a matrix's estimator": (
        "paper",
        {"solvers": ("lu", "minres(preconditioner=kfac)"), "conditioners": ("damp",), "estimator": "automatic"},
        "--solvers minres.preconditioner=kfac.: .*--estimator automatic needs.*use --estimator lanczos",
    ),
    "K-FAC and damping": (
        "kfac",
        {"conditioners": ("damp(0.1)",)},
        "--conditioners is damp.relative=0.1., and.*--optimizer kfac does not read it.*--preset blocks",
    ),
    "dual-newton and curvature": ("dual-newton", {"curvature": "hessian"}, "--curvature is hessian.*dual-newton"),
    "a family and makespan": ("default", {"policy": "makespan"}, "--policy is makespan.*--family automatic.*groups"),
    "a family and a rate": ("default", {"learning_rate": 0.1}, "--learning-rate is 0.1.*--family automatic"),
    "a family and dual solves": ("default", {"solvers": ("lu", "dual")}, "names dual.*--family automatic have none"),
    "a precision that no count has": (
        "default",
        {"solvers": ("lu", "qlsa(precision=0.5)")},
        "--solvers qlsa.precision=0.5.: the precision is 0.5.* holds up to 0.24",
    ),
    "certified and Hessian": ("paper", {"estimator": "certified"}, "certified.*gauss-newton"),
    "certified and pruning": (
        "blocks",
        {"estimator": "certified", "conditioners": ("prune(0.5)",)},
        "certified.*such as damp",
    ),
}


@pytest.mark.parametrize(("preset", "changes", "message"), EXCLUSIVE.values(), ids=EXCLUSIVE.keys())
def test_options_that_exclude_each_other_are_refused(preset, changes, message, options_of):
    with pytest.raises(ValueError, match=message):
        checks.check(options_of(preset, **changes))


ALLOWED = {
    "certified on Gauss-Newton": ("blocks", {"estimator": "certified"}),
    "rows without pruning": ("paper-code", {"solvers": ("cholesky", "lu"), "conditioners": ("damp", "prune-rows(1)")}),
    "CG on pruned matrices": ("blocks", {"solvers": ("cg",), "conditioners": ("prune(0.5)", "compensate")}),
    "everything on operators": (
        "blocks",
        {
            "solvers": ("cholesky", "lu", "gauss-jordan", "eigh", "cg(preconditioner=ekfac)", "minres", "dual", "qlsa"),
        },
    ),
    "MINRES with K-FAC on the Hessian": (
        "paper",
        {
            "solvers": ("minres(preconditioner=kfac)",),
            "estimator": "lanczos",
            "conditioners": ("damp",),
            "second_estimator": None,
        },
    ),
    "rows and inverse Lanczos": ("paper-code", {"estimator": "inverse-lanczos"}),
}


@pytest.mark.parametrize(("preset", "changes"), ALLOWED.values(), ids=ALLOWED.keys())
def test_and_their_neighbours_are_not(preset, changes, options_of):
    assert checks.check(options_of(preset, **changes)) is None


OUT_OF_RANGE = {
    "steps 0": {"steps": 0},
    "batch 0": {"batch_size": 0},
    "evaluate never": {"evaluate_every": 0},
    "seed negative": {"seed": -1},
    "seed too long": {"seed": 2**63},
    "rate 0": {"learning_rate": 0.0},
    "rate NaN": {"learning_rate": float("nan")},
    "rate infinite": {"learning_rate": float("inf")},
    "warm-up negative": {"warmup_steps": -1},
    "clip 0": {"clip": 0.0},
    "no solvers": {"solvers": ()},
    "a solver twice": {"solvers": ("lu", "lu")},
    "gate time 0": {"gate_time_s": 0.0},
    "gate time NaN": {"gate_time_s": float("nan")},
    # Single precision has no numbers below: the seconds would all be 0, and every comparison a tie.
    "gate time too small": {"gate_time_s": 1e-50},
    "gate time infinite": {"gate_time_s": float("inf")},
    "one gate time 0": {"gate_times_s": (1e-9, 0.0)},
}


@pytest.mark.parametrize("change", OUT_OF_RANGE.values(), ids=OUT_OF_RANGE.keys())
def test_an_option_out_of_range_names_itself_and_its_value(change, options_of):
    ((name, value),) = change.items()
    option = "--" + name.replace("_", "-")
    # Of several values, the wrong one; an empty list is called so.
    shown = value
    if isinstance(value, tuple):
        shown = value[-1] if name == "gate_times_s" else " ".join(value) or "empty"
    verb = "holds" if name == "gate_times_s" else "is"
    with pytest.raises(ValueError, match=f"^{option} {verb} {shown}: "):
        options_of(**change)


def test_limits_themselves_are_allowed(options_of):
    options = options_of(seed=2**63 - 1, warmup_steps=0, steps=1, batch_size=1, gate_time_s=1.0)
    assert options.training.seed == 2**63 - 1
    assert options.scheduling.gate_time_s == 1
