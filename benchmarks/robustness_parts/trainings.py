"""Optimizers on faults in values and on scales of loss and parameters: nothing that is wrong may go by unsaid."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn

from .judge import DEEP, FLAGGED, REFUSED, RIGHT, SILENT, Outcome, UserError, of_exception
from .training_problems import EXAMPLES, OPTIMIZERS, PROBLEMS, fitted_loss, pairs, run

SCALES = (-80, -60, -40, -20, 20, 40, 60)
LASTING = (
    "nan in inputs",
    "inf in inputs",
    "nan in targets",
    "inf in targets",
    "nan in parameters",
    "inf in parameters",
    "nan loss, finite gradient",
    "inf loss, finite gradient",
    "all weights zero",
    "label out of range",
)
PASSING = ("nan gradient once", "inf gradient once", "nan in one entry of the gradient once")
HARMLESS = ("none", "some weights zero", "scale", "scale", "scale", "units", "units", "huge inputs")
STRUCTURAL = (
    "empty batch",
    "unequal leading axes",
    "gradient of another structure",
    "gradient of another shape",
    "integer parameters",
    "no parameters",
    "no batch",
    "the model's own error",
    "the model's own TypeError",
)
FAULTS = HARMLESS + LASTING + PASSING + STRUCTURAL


@functools.cache
def compiled(pair: tuple[str, str]) -> Callable:
    return jax.jit(functools.partial(run, pair))


# What a pair raised under jit: of shapes alone, so once is enough.
_RAISED: dict[Any, tuple[str, str]] = {}


def draw(seed: int, index: int) -> tuple[tuple[str, str], str, np.random.Generator]:
    """Optimizer with problem, and fault, in turns."""
    all_pairs = pairs()
    rng = np.random.default_rng([seed, 2, index])
    pair = all_pairs[index % len(all_pairs)]
    # Each pair starts at another fault, so that few rounds meet all of them.
    fault = FAULTS[(index // len(all_pairs) + 5 * (index % len(all_pairs))) % len(FAULTS)]
    return pair, fault, rng


def run_case(seed: int, index: int) -> Outcome:
    pair, fault, rng = draw(seed, index)
    name, problem = pair
    suits = {"units": PROBLEMS[problem].fit, "label out of range": problem == "classification"}
    fault = fault if suits.get(fault, True) else "scale"

    def outcome(verdict: str, note: str, expected: bool) -> Outcome:
        return Outcome("optimizers", index, f"{name} | {fault}", verdict, expected, f"{problem}: {note}")

    if fault in STRUCTURAL:
        return outcome(*structural(pair, fault, rng), False)
    arrays = PROBLEMS[problem].draw(rng)
    if pair not in _RAISED:
        try:
            if fault == "scale":
                return outcome(*scaled(pair, arrays, rng), OPTIMIZERS[name].scale_free)
            if fault == "units":
                return outcome(*in_units(pair, arrays, rng), OPTIMIZERS[name].fits)
            return outcome(*faulty(pair, fault, arrays, rng), fault in HARMLESS + PASSING and fault != "huge inputs")
        except Exception as error:
            _RAISED[pair] = of_exception(error)
    return outcome(*_RAISED[pair], True)


def trained(pair: tuple[str, str], arrays: Any, at: int = -1, bad: Any = None) -> dict[str, np.ndarray]:
    params, inputs, targets = arrays
    gradient = jax.tree.map(np.zeros_like, params) if bad is None else bad
    fault = {"at": np.int32(at), "gradient": gradient}
    seen = compiled(pair)(*jax.tree.map(jnp.asarray, (params, inputs, targets, fault)))
    return {key: np.asarray(value) for key, value in seen.items()}


def scaled(pair: tuple[str, str], arrays: Any, rng: np.random.Generator) -> tuple[str, str]:
    """The loss times a power of two, against the same training at 1."""
    params, inputs, targets = arrays
    scale = np.float32(2.0) ** int(rng.choice(SCALES))
    plain = trained(pair, arrays)
    seen = trained(pair, (params, inputs, {**targets, "scale": targets["scale"] * scale}))
    if not seen["finite"].all():
        return SILENT, f"loss times {scale:.0e}: parameters are not finite"
    # Some trainings amplify any rounding: how much, a scale shows that is near 1 and no power of two.
    control = trained(pair, (params, inputs, {**targets, "scale": targets["scale"] * np.float32(1.3)}))
    one, other, near = (
        np.r_[r["loss"], r["final"]].astype(float) / float(s)
        for r, s in ((plain, 1.0), (seen, scale), (control, np.float32(1.3)))
    )
    away, noise = (float(np.max(np.abs(losses - one)) / one[0]) for losses in (other, near))
    note = f"loss times {scale:.0e}: {one[0]:.3g} to {other[-1]:.3g}, at 1 to {one[-1]:.3g}, at 1.3 to {near[-1]:.3g}"
    same = away <= max(0.02, 5 * noise) and other[-1] <= max(1.5 * one[-1], 2 * near[-1]) + 1e-4 * one[0]
    # Where rounding alone leads elsewhere, as far down is as good.
    same = same or (noise > 0.01 and other[-1] <= 3 * max(one[-1], near[-1]))
    if same or (not OPTIMIZERS[pair[0]].scale_free and not other[-1] > one[0]):
        return RIGHT, note
    return (FLAGGED if seen["bad"].any() and not plain["bad"].any() else SILENT), note


def in_units(pair: tuple[str, str], arrays: Any, rng: np.random.Generator) -> tuple[str, str]:
    """A fit whose parameters are in other units, powers of two, against scipy's optimum."""
    params, inputs, targets = arrays
    powers = 2.0 ** rng.integers(-40, 40, 2)
    params = {key: (params[key] * power).astype(np.float32) for key, power in zip(("a", "b"), powers, strict=True)}
    inputs = {**inputs, "unit": inputs["unit"] * powers.astype(np.float32)}
    seen = trained(pair, (params, inputs, targets))
    best = fitted_loss(PROBLEMS[pair[1]], params, inputs, targets)
    went = f"loss {seen['loss'][0]:.3g} to {seen['final']:.5g}, optimum {best:.5g}"
    note = f"units {powers[0]:.0e} and {powers[1]:.0e}: {went}"
    if not seen["finite"].all():
        return SILENT, f"parameters are not finite; {note}"
    if seen["final"] <= 1.05 * best:
        return RIGHT, note
    if not OPTIMIZERS[pair[0]].fits and not seen["final"] > seen["loss"][0]:
        return RIGHT, note
    return (FLAGGED if seen["bad"].any() else SILENT), note


def faulty(pair: tuple[str, str], fault: str, arrays: Any, rng: np.random.Generator) -> tuple[str, str]:
    """A fault in values: nothing moves where the loss is no number, and what can be trained is."""
    spoilt, at, gradient = with_fault(fault, arrays, rng)
    seen = trained(pair, spoilt, at, gradient)
    best = None
    if PROBLEMS[pair[1]].fit and OPTIMIZERS[pair[0]].fits and fault == "none":
        best = fitted_loss(PROBLEMS[pair[1]], *arrays)
    return judged(pair, seen, at, best, starts_bad=fault.endswith("in parameters"))


def with_fault(fault: str, arrays: Any, rng: np.random.Generator) -> tuple[Any, int, Any]:
    """The arrays with the fault in them; the step whose gradient is spoilt, -1 for none; and what it gets added."""
    params, inputs, targets = (dict(part) for part in arrays)
    bad = np.nan if fault.startswith("nan") else np.inf
    some = int(rng.integers(EXAMPLES))
    at, gradient = -1, None
    if fault.endswith("inputs"):
        inputs["x"] = inputs["x"].copy()
        inputs["x"][some] = 1e30 if fault == "huge inputs" else bad
    elif fault.endswith("in targets"):
        if targets["y"].dtype.kind == "f":
            targets["y"] = targets["y"].copy()
            targets["y"][some] = bad
        else:
            targets["scale"] = np.where(np.arange(EXAMPLES) == some, bad, 1).astype(np.float32)
    elif fault.endswith("in parameters"):
        name = str(rng.choice(list(params)))
        params[name] = np.asarray(params[name]).copy()
        params[name].flat[0] = bad
    elif fault.endswith("finite gradient"):
        targets["offset"] = np.where(np.arange(EXAMPLES) == some, bad, 0).astype(np.float32)
    elif fault == "all weights zero":
        targets["weight"] = 0 * targets["weight"]
    elif fault == "some weights zero":
        targets["weight"] = (np.arange(EXAMPLES) % 3 > 0).astype(np.float32)
    elif fault == "label out of range":
        targets["y"] = targets["y"].copy()
        targets["y"][some] = int(rng.choice([3, 99, -7]))
    elif fault in PASSING:
        at = int(rng.integers(1, 5))
        gradient = jax.tree.map(lambda leaf: np.full_like(leaf, bad), params)
        if "one entry" in fault:
            gradient = jax.tree.map(np.zeros_like, params)
            name = str(rng.choice(list(params)))
            gradient[name] = np.asarray(gradient[name])
            gradient[name].flat[0] = bad
    return (params, inputs, targets), at, gradient


def judged(
    pair: tuple[str, str], seen: dict[str, np.ndarray], at: int, best: float | None, *, starts_bad: bool
) -> tuple[str, str]:
    """What a run with a fault in its values came to; `at` is the step whose gradient was bad, `best` the optimum."""
    loss, final, optimizer = seen["loss"], float(seen["final"]), OPTIMIZERS[pair[0]]
    note = f"loss {loss[0]:.3g} to {final:.5g}" + ("" if best is None else f", optimum {best:.5g}")
    blind = seen["moved"] & ~np.isfinite(loss)
    if blind.any():
        step = int(np.argmax(blind))
        return SILENT, f"step {step} moved where the loss is {loss[step]}; {note}"
    if not starts_bad and not seen["finite"].all():
        return SILENT, f"parameters are not finite; {note}"
    told = seen["bad"] | ~seen["accepted"]
    if not np.isfinite(loss[0]):
        return (FLAGGED if told.all() else SILENT), f"nothing moved{'' if told.all() else ', unsaid'}; {note}"
    if at >= 0 and not told[at] and optimizer.reads_gradient:
        return SILENT, f"the bad gradient of step {at} was not flagged; {note}"
    if best is not None:
        return (RIGHT if final <= 1.05 * best else SILENT), note
    # An infinite parameter may be one where nothing changes any more.
    if seen["still"].all() and final == loss[0]:
        return RIGHT, f"the gradient is zero; {note}"
    # Of a rule that does not look at the loss after its step, too: it falls, or something is said.
    if final < loss[0] or (not optimizer.falls and seen["moved"].sum() >= len(loss) - 1):
        return RIGHT, note
    return (FLAGGED if seen["bad"].any() or not seen["accepted"].any() else SILENT), note


def structural(pair: tuple[str, str], fault: str, rng: np.random.Generator) -> tuple[str, str]:
    """Input that no step can be made of: one sentence, from our code; and the model's own errors arrive as they are."""
    name, problem_name = pair
    problem = PROBLEMS[problem_name]
    arrays = problem.draw(rng)
    params, inputs, targets = jax.tree.map(jnp.asarray, arrays)
    objective = qn.Objective(problem.predict, problem.loss)
    own = UserError("mine") if fault.endswith("own error") else TypeError("mine")
    gradient = jax.tree.map(jnp.zeros_like, params)

    def fails(params: Any, inputs: Any) -> Any:
        raise own

    if "own" in fault:
        objective = qn.Objective(fails, problem.loss)

    def attempt(params: Any, inputs: Any, targets: Any, gradient: Any, batch: bool = True) -> Any:
        if fault in ("empty batch", "unequal leading axes"):
            gradient = jax.grad(objective)(params, (inputs, targets))
        opt = OPTIMIZERS[name].make(objective, params, (inputs, targets))
        return opt.update(gradient, opt.init(params), params, batch=(inputs, targets) if batch else None)

    if fault == "empty batch":
        inputs, targets = jax.tree.map(lambda leaf: leaf[:0], (inputs, targets))
    elif fault == "unequal leading axes":
        targets = jax.tree.map(lambda leaf: leaf[:-3], targets)
    elif fault == "gradient of another structure":
        gradient = list(gradient.values())
    elif fault == "gradient of another shape":
        gradient = {key: jnp.zeros((*jnp.shape(leaf), 2)) for key, leaf in gradient.items()}
    elif fault == "integer parameters":
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.int32), params)
        gradient = jax.tree.map(jnp.zeros_like, params)
    elif fault == "no parameters":
        params, gradient = {}, {}
    try:
        jax.eval_shape(functools.partial(attempt, batch=fault != "no batch"), params, inputs, targets, gradient)
    except Exception as error:
        if "own" in fault:
            return (RIGHT if error is own else SILENT), f"arrived: {type(error).__name__}: {str(error)[:160]}"
        verdict, note = of_exception(error)
        return (FLAGGED if verdict == REFUSED else DEEP), note
    return SILENT, "no error was raised"


def cases(seed: int, count: int, part: int = 0, parts: int = 1) -> Iterator[Outcome]:
    """One part in `parts` of the family's first `count` cases, pair by pair, so that programs can be dropped."""
    number = len(pairs())
    for start in range(part, number, parts):
        for index in range(start, count, number):
            yield run_case(seed, index)
        compiled.cache_clear()
