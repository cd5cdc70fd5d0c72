"""The baselines: each is what plain optax does, reports what it did, and refuses what it does not read."""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import qnewton as q
from qnewton.lab._experiments import build, checks
from qnewton.lab._experiments.baselines import RATES, BaselineState, baseline
from qnewton.lab._experiments.options import StepOptions, TrainingOptions, TrainOptions
from qnewton.lab._experiments.presets import preset_for
from qnewton.lab._experiments.runner import TrainingFailed, train
from qnewton.lab._experiments.task_options import BertOptions
from qnewton.lab._runfile import RunDirectory, StepLine, SystemLine

RATE = 0.05
PLAIN: dict[str, Any] = {
    "sgd": optax.sgd(RATE),
    "momentum": optax.sgd(RATE, momentum=0.8, nesterov=True),
    "adam": optax.adam(RATE),
    "adamw": optax.adamw(RATE, weight_decay=0.3),
    "muon": optax.contrib.muon(RATE),
    "lbfgs": optax.lbfgs(RATE, memory_size=3),
}
WORDS = {"momentum": "momentum(0.8)", "adamw": "adamw(weight_decay=0.3)", "lbfgs": "lbfgs(memory=3)"}


def problem() -> tuple[q.Objective, Any, list[Any]]:
    """Logistic regression on two batches, a matrix and a vector of parameters."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, 20, 4)).astype(np.float32)
    targets = rng.integers(0, 3, (2, 20)).astype(np.int32)
    objective = q.Objective(lambda p, x: x @ p["w"] + p["b"], optax.softmax_cross_entropy_with_integer_labels, l2=0.1)
    params = {"w": jnp.asarray(rng.standard_normal((4, 3)), jnp.float32), "b": jnp.zeros(3)}
    return objective, params, [(inputs[i], targets[i]) for i in (0, 1)]


def follow(optimizer: Any, objective: q.Objective, params: Any, batches: list[Any]) -> tuple[Any, list[float], Any]:
    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(jax.grad(objective)(params, batch), state, params, batch=batch)
        return optax.apply_updates(params, updates), state

    state, losses = optimizer.init(params), []
    for batch in batches:
        params, state = step(params, state, batch)
        losses.append(float(state.info.loss))
    return params, losses, state


@pytest.mark.parametrize(("name", "repeats"), [*((name, False) for name in RATES), ("lbfgs", True)])
def test_each_is_plain_optax(name: str, repeats: bool) -> None:
    objective, params, given = problem()
    batches = [given[0]] * 6 if repeats else given * 3
    found, losses, state = follow(
        baseline(WORDS.get(name, name), objective, RATE, repeats=repeats), objective, params, batches
    )

    expected: Any = params
    inner, before = PLAIN[name].init(params), []

    @jax.jit
    def plain(params: Any, inner: Any, batch: Any) -> tuple[Any, Any, Any]:
        value, gradients = jax.value_and_grad(objective)(params, batch)
        extra = {}
        if name == "lbfgs":
            extra = {"value": value, "grad": gradients, "value_fn": lambda p: objective(p, batch)}
        updates, inner = PLAIN[name].update(gradients, inner, params, **extra)
        return optax.apply_updates(params, updates), inner, value

    for batch in batches:
        expected, inner, value = plain(expected, inner, batch)
        before.append(float(value))
    for key in params:
        np.testing.assert_allclose(found[key], expected[key], rtol=2e-4, atol=2e-5)
    # The loss that is reported is that before the step.
    np.testing.assert_allclose(losses, before, rtol=1e-4)
    assert float(state.info.learning_rate) == pytest.approx(RATE)
    assert int(state.count) == 6


def test_one_batch_costs_lbfgs_no_gradient_twice() -> None:
    """Where the batch repeats, the gradient that the loop hands over is not read, so that `jit` drops it."""
    objective, params, given = problem()
    states = {}
    for repeats in (False, True):
        optimizer: Any = baseline("lbfgs", objective, repeats=repeats)
        zeros = jax.tree.map(jnp.zeros_like, params)
        states[repeats] = optimizer.update(zeros, optimizer.init(params), params, batch=given[0])[0]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(states[False]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(states[True]))


def test_rates_that_differ_share_one_program() -> None:
    objective, params, given = problem()
    traces = []

    @jax.jit
    def step(params: Any, state: BaselineState) -> Any:
        traces.append(1)
        optimizer: Any = baseline("adam", objective)
        return optimizer.update(jax.grad(objective)(params, given[0]), state, params, batch=given[0])

    def started(rate: float) -> Any:
        return baseline("adam", objective, rate).init(params)

    small, large = (step(params, started(rate))[0]["w"] for rate in (1e-3, 1e-1))
    np.testing.assert_allclose(100 * small, large, rtol=1e-4)
    assert len(traces) == 1


def test_a_schedule_multiplies_the_rate() -> None:
    objective, params, given = problem()
    options = TrainOptions(
        optimizer="sgd",
        training=TrainingOptions(steps=4),
        step=StepOptions(learning_rate=0.2, warmup_steps=2, decay=True),
    )
    checks.check(options)
    optimizer: Any = build.make_baseline(options, objective, repeats=False)
    rates = []
    state = optimizer.init(params)
    for _ in range(4):
        _, state = optimizer.update(jax.grad(objective)(params, given[0]), state, params, batch=given[0])
        rates.append(float(state.info.learning_rate))
    assert rates == pytest.approx([0.1, 0.2, 0.2, 0.1])


REFUSED = {
    "weight decay": (
        TrainOptions(optimizer="sgd", step=StepOptions(weight_decay=0.1)),
        "--weight-decay is 0.1.*sgd does not",
    ),
    "weight decay of a preset": (
        dataclasses.replace(preset_for("paper", BertOptions), optimizer="sgd"),
        r"--curvature is empirical-fisher.*Omit the option .or the preset that sets it., or use --preset",
    ),
    "clip": (TrainOptions(optimizer="sgd", step=StepOptions(clip=1.0)), "--clip is 1.0.*solves no systems"),
    "kfac's rate": (
        TrainOptions(optimizer="kfac", step=StepOptions(learning_rate=0.1)),
        "--learning-rate is 0.1.*kfac",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_read_is_refused(options: TrainOptions, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checks.check(options)


@pytest.mark.parametrize(
    "text", ["momentum(momentum=1.0)", "momentum(momentum=-0.1)", "adamw(weight_decay=-1.0)", "lbfgs(memory=0)"]
)
def test_settings_out_of_range_name_themselves(text: str) -> None:
    name, value = text.removesuffix(")").partition("(")[2].split("=")
    shown = re.escape(text.replace(".0", ""))
    with pytest.raises(ValueError, match=rf"^--optimizer {shown}: .*{name.replace('_', '-')} is {value}: "):
        checks.check(TrainOptions(optimizer=text))


def test_an_unknown_baseline_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown optimizer 'adamm'.*'adam"):
        baseline("adamm", problem()[0])


class _Silent:
    def stage(self, what: str) -> None: ...

    def step(self, step: StepLine, blocks: Sequence[SystemLine]) -> None: ...


def test_a_run_leaves_the_files_of_a_complete_optimizer(tmp_path) -> None:
    options = TrainOptions(optimizer="muon", training=TrainingOptions(steps=2), step=StepOptions(learning_rate=0.01))
    summary = train("tiny", options, RunDirectory.create(tmp_path / "run", "tiny"), _Silent())
    assert (summary.optimizer, summary.steps, summary.acting) == ("muon", 2, None)
    steps = [json.loads(line) for line in (tmp_path / "run" / "steps.jsonl").read_text().splitlines()]
    assert [step["learning_rate"] for step in steps] == pytest.approx([0.01, 0.01])
    assert {(step["damping_scale"], step["reduction_ratio"], step["accepted"]) for step in steps} == {
        (None, None, True)
    }
    assert steps[1]["loss"] == pytest.approx(steps[0]["train_loss"], rel=1e-5)
    assert not (tmp_path / "run" / "blocks.jsonl").exists()


def test_a_run_that_diverges_says_what_to_do(tmp_path) -> None:
    options = TrainOptions(optimizer="sgd", training=TrainingOptions(steps=2))
    with pytest.raises(TrainingFailed, match="Lower --learning-rate, or look for NaN"):
        train("poisoned", options, RunDirectory.create(tmp_path / "run", "tiny"), _Silent())
