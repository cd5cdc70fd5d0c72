"""What a public function is handed in place of what it takes gets one sentence, and renamed arguments still serve."""

import inspect
import re
import typing
import warnings
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest

import qnewton as qn

PARAMS = jnp.ones(3)
BATCH = (jnp.ones((4, 3)), jnp.ones(4))
OBJECTIVE = qn.Objective(lambda w, x: x @ w, lambda z, y: (z - y) ** 2)


def plain_loss(params: Any, batch: Any) -> Any:
    return jnp.sum((batch[0] @ params - batch[1]) ** 2)


@pytest.mark.parametrize(
    "take",
    [
        qn.newton,
        qn.kfac,
        qn.dual_newton,
        qn.fisher_newton,
        lambda f: qn.recipe(f, PARAMS, BATCH),
        lambda f: qn.spectrum(f, PARAMS, BATCH),
        lambda f: qn.memory_estimate(f, PARAMS, BATCH),
        lambda f: qn.independence(f, PARAMS, BATCH),
        lambda f: qn.GaussNewton().form(f, PARAMS, BATCH, qn.whole(PARAMS)[0]),
    ],
    ids=["newton", "kfac", "dual", "fisher", "recipe", "spectrum", "memory", "independence", "form"],
)
@pytest.mark.parametrize("given", [plain_loss, 3, qn.Objective], ids=["function", "number", "class"])
def test_what_is_no_objective(take: Any, given: Any) -> None:
    with pytest.raises(TypeError, match=r"takes an Objective, and got .*: write qnewton.Objective\(predict, loss\)"):
        take(given)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"conditioning": qn.Damp()}, r"newton: conditioning is one Damp: give a sequence, \(Damp\(\.\.\.\),\)"),
        ({"conditioning": (qn.Damp,)}, r"a member of newton: conditioning is the class Damp: make one, Damp\("),
        ({"conditioning": "tight"}, "newton: conditioning is 'tight': give a sequence"),
        (
            {"conditioning": (lambda system, scale: system,)},
            "newton: conditioning is the function <lambda>",
        ),
        ({"curvature": qn.Hessian}, r"newton: curvature is the class Hessian: make one, Hessian\("),
        ({"curvature": qn.LevenbergMarquardt}, r"is the class LevenbergMarquardt: give GaussNewton\(\)"),
        ({"metric": "marquardt"}, r"newton: metric is 'marquardt': give Marquardt\(\)"),
        ({"correction": 0.9}, r"newton: correction is 0.9: give Correction\(0.99\)"),
        ({"adaptation": qn.KLClip()}, r"newton: adaptation is of the class KLClip: give LevenbergMarquardt\(\)"),
        ({"step": qn.KLClip}, r"newton: step is the class KLClip: make one, KLClip\("),
        ({"partition": "per_layer"}, "newton: partition is 'per_layer', which cannot be called: give whole, per_layer"),
        ({"where": 4096}, "newton: where is 4096, which cannot be called"),
        ({"learning_rate": "0.1"}, "newton: learning_rate is '0.1': give a number, or a schedule"),
    ],
    ids=lambda one: one[:60] if isinstance(one, str) else None,
)
def test_an_argument_of_newton_of_the_wrong_kind(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        qn.newton(OBJECTIVE, **options)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda q: q.Objective(3, plain_loss), "Objective: predict is 3, which cannot be called"),
        (lambda q: q.newton(OBJECTIVE, family=3), "newton: family is 3: give a sequence"),
        (lambda q: q.freeze({"w": PARAMS}, 3), "freeze: a pattern is 3: give the name"),
        (lambda q: q.kfac(OBJECTIVE, step="clip"), r"kfac: step is 'clip': give KLClip\(\)"),
        (lambda q: q.dual_newton(OBJECTIVE, metric=3), r"dual_newton: metric is 3: give Marquardt\(\)"),
        (lambda q: q.spectrum(OBJECTIVE, PARAMS, BATCH, conditioning=q.Damp()), "spectrum: conditioning is one Damp"),
        (lambda q: q.memory_estimate(OBJECTIVE, PARAMS, BATCH, optimizer=3), "memory_estimate: optimizer is 3: give a"),
        (lambda q: q.Microbatched(q.GaussNewton, 4), "Microbatched: inner is the class GaussNewton: make one"),
        (lambda q: q.calibrate(q.CG()), r"calibrate: solvers is one CG: give a sequence, \(CG\(\.\.\.\),\)"),
        (lambda q: q.calibrate(3), r"calibrate: solvers is 3: give a sequence, e\.g\. \(CG\(\),\)"),
        (lambda q: q.calibrate([q.CG()], sizes=64), r"calibrate: sizes is 64: give a sequence, e\.g\. \(8, 32, 128,\)"),
        (lambda q: q.calibrate([q.CG()], sizes="64"), "calibrate: sizes is '64': give a sequence"),
        (lambda q: q.calibrate([q.CG()], sizes=(8, "a")), "a member of calibrate: sizes is 'a': give a number"),
        (lambda q: q.calibrate([q.CG()], repeats="a"), "calibrate: repeats is 'a': give a number"),
        (lambda q: q.Hybrid(assumptions="paper"), "Hybrid: assumptions is 'paper': give a sequence"),
        (lambda q: q.Hybrid(quantum="fast"), r"Hybrid: quantum is 'fast': give QuantumMachine\("),
        (lambda q: q.Hybrid(policy=lx.LU()), r"Hybrid: policy is of the class LU: give Fastest\(\)"),
        (lambda q: q.Hybrid(classical="cpu"), "Hybrid: classical is 'cpu': give calibrate"),
    ],
    ids=lambda one: one[:30] if isinstance(one, str) else "",
)
def test_an_argument_of_the_wrong_kind_elsewhere(make: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        make(qn)


# Of each owner what it needs besides, and good values where it has no default, or none that is a number.
OWNERS: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "newton": (qn.newton, (OBJECTIVE,), {"clip": 0.5, "minibatch": False}),
    "kfac": (qn.kfac, (OBJECTIVE,), {}),
    "dual_newton": (qn.dual_newton, (OBJECTIVE,), {"momentum": 0.25}),
    "fisher_newton": (qn.fisher_newton, (OBJECTIVE,), {}),
    "recipe": (qn.recipe, (OBJECTIVE, PARAMS, BATCH), {"minibatch": False}),
    "spectrum": (qn.spectrum, (OBJECTIVE, PARAMS, BATCH), {}),
    "LevenbergMarquardt": (qn.LevenbergMarquardt, (), {"smallest": 1e-6}),
    "QuadraticModel": (qn.QuadraticModel, (), {}),
    "KLClip": (qn.KLClip, (), {}),
    "LineSearch": (qn.LineSearch, (), {}),
    "TrustRegion": (qn.TrustRegion, (), {"radius": 2.0, "factor": 3.0, "smallest": 0.5, "largest": 8.0}),
    "Correction": (qn.Correction, (), {}),
    "Objective": (qn.Objective, (OBJECTIVE.predict, OBJECTIVE.loss), {}),
    "EmpiricalFisher": (qn.EmpiricalFisher, (), {}),
    "Microbatched": (qn.Microbatched, (qn.GaussNewton(),), {"size": 4}),
    **{name: (getattr(qn.conditioning, name), (), {}) for name in ("Cliques", "Damp", "DampSpectral", "DampTrace")},
    **{name: (getattr(qn.conditioning, name), (), {}) for name in ("Marquardt", "Matching", "ShiftLowest", "ShiftTo")},
    "DampTo": (qn.conditioning.DampTo, (), {"condition_number": 9.0}),
    **{name: (getattr(qn.conditioning, name), (), {"keep": 0.5}) for name in ("Prune", "PruneRows")},
    "Shift": (qn.Shift, (), {"offset": 0.5}),
    "Threshold": (qn.conditioning.Threshold, (), {"tau": 0.5}),
    **{name: (getattr(qn, name), (), {"max_steps": 9}) for name in ("CG", "MINRES")},
    **{name: (getattr(qn, name), (), {"cutoff": 0.1}) for name in ("Eigh", "SaddleFree")},
    **{name: (getattr(qn, name), (), {}) for name in ("Cholesky", "Dual")},
    "Refine": (qn.Refine, (qn.LU(),), {}),
    "Nystrom": (qn.Nystrom, (), {"rank": 3}),
    "QLSA": (qn.QLSA, (), {"solution_norm": 2.0}),
    "EmulatedQSVT": (qn.EmulatedQSVT, (), {"kappa": 9.0, "norm": 2.0, "solution_norm": 2.0}),
    **{name: (getattr(qn.estimators, name), (), {}) for name in ("ProbabilisticLanczos",)},
}


def scalars() -> Iterator[tuple[str, str, Any]]:
    """Every scalar argument of them, with a good value."""
    for owner, (make, _, good) in OWNERS.items():
        for name, one in inspect.signature(make).parameters.items():
            kinds = typing.get_args(one.annotation) or (one.annotation,)
            if name != "learning_rate" and any(kind in (int, float, bool) for kind in kinds):
                yield owner, name, good.get(name, one.default)


def made(owner: str, **changes: Any) -> Any:
    make, given, good = OWNERS[owner]
    parameters = inspect.signature(make).parameters
    needed = {name: value for name, value in good.items() if parameters[name].default is inspect.Parameter.empty}
    return make(*given, **needed | changes)


SCALARS = [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in scalars()]
NO_NUMBERS = {"'a'": "a", "True": True, "of the class list": [1.0], "an array of the shape (3,)": np.ones(3)}
NO_FLAGS = {"'yes'": "yes", "1": 1, "an array of the shape (3,)": np.ones(3)}


# What equinox says of an array in a static field, before the sentence.
@pytest.mark.filterwarnings("ignore:A JAX array is being set as static")
@pytest.mark.parametrize(("owner", "name", "value"), SCALARS)
def test_a_scalar_of_the_wrong_kind(owner: str, name: str, value: Any) -> None:
    wrong, give = (NO_FLAGS, "True or False") if isinstance(value, bool) else (NO_NUMBERS, "a number")
    for said, given in wrong.items():
        with pytest.raises(TypeError, match=re.escape(f"{owner}: {name} is {said}: give {give}")):
            made(owner, **{name: given})


def test_a_count_is_an_integer() -> None:
    for owner, name in (("CG", "max_steps"), ("Nystrom", "rank"), ("Dual", "refinements"), ("Refine", "rounds")):
        for given in (1.5, 2.0):
            with pytest.raises(TypeError, match=f"{owner}: {name} is {given}: give an integer"):
                made(owner, **{name: given})


@pytest.mark.parametrize("make", [qn.newton, qn.kfac, qn.dual_newton, qn.fisher_newton])
def test_a_state_or_a_key_that_is_none(make: Any) -> None:
    optimizer = make(OBJECTIVE)
    for state, said in ((None, "None"), (optax.adam(1.0).init(PARAMS), "of the class tuple")):
        with pytest.raises(TypeError, match=f"{make.__name__} got a state that it did not make, {said}: give what"):
            optimizer.update(PARAMS, state, PARAMS, batch=BATCH)
    for key, said in ((3, "3"), (jax.random.split(jax.random.key(0)), "an array of the shape")):
        with pytest.raises(TypeError, match=f"{make.__name__}: key is {said}.*: give one key"):
            optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS, batch=BATCH, key=key)


@pytest.mark.parametrize("make", [qn.newton, qn.kfac, qn.dual_newton, qn.fisher_newton])
def test_a_state_of_other_parameters(make: Any) -> None:
    wide = qn.Objective(lambda p, x: x @ p["w"] + p["b"], lambda z, y: (z - y) ** 2)
    optimizer = make(wide)
    params, other = ({"w": jnp.ones(n), "b": jnp.zeros(())} for n in (3, 5))
    state = jax.eval_shape(optimizer.init, other)
    with pytest.raises(ValueError, match=f"{make.__name__} got a state that was made for other parameters"):
        optimizer.update(params, state, params, batch=BATCH)


def test_what_is_no_block_of_the_parameters() -> None:
    for block, said in ((0, "0"), (qn.whole(PARAMS), "of the class tuple")):
        with pytest.raises(TypeError, match=rf"form: block is {said}: give a block .*whole\(params\)\[0\]"):
            qn.GaussNewton().form(OBJECTIVE, PARAMS, BATCH, block)  # pyright: ignore[reportArgumentType]
    for other in (jnp.ones(4), {"a": PARAMS, "b": PARAMS}):
        with pytest.raises(ValueError, match=r"the block .* and the parameters have 1 leaves, of 3 numbers: make the"):
            qn.Hessian().form(OBJECTIVE, PARAMS, BATCH, qn.whole(other)[0])
    with pytest.raises(TypeError, match="form: key is 3: give one key"):
        qn.Hessian().form(OBJECTIVE, PARAMS, BATCH, qn.whole(PARAMS)[0], 3)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("owner", "name", "value"), SCALARS)
def test_a_scalar_of_numpy_or_jax_is_pythons(owner: str, name: str, value: Any) -> None:
    plain = made(owner, **{name: value})
    found = made(owner, **{name: np.asarray(value)[()]})
    if isinstance(found, eqx.Module):
        assert type(getattr(found, name)) is type(getattr(plain, name))
        assert getattr(found, name) == value
        assert hash(found) == hash(plain)
    if not isinstance(value, bool):
        made(owner, **{name: jnp.asarray(value)})


@pytest.mark.parametrize("make", [qn.newton, qn.fisher_newton], ids=["newton", "fisher"])
def test_a_learning_rate_of_the_wrong_kind(make: Any) -> None:
    for said, given in NO_NUMBERS.items():
        words = f"{make.__name__}: learning_rate is {said}: give a number, or a schedule of the step count"
        with pytest.raises(TypeError, match=re.escape(words)):
            make(OBJECTIVE, given)
    for given in (np.float64(0.5), jnp.asarray(0.5), optax.constant_schedule(0.5)):
        make(OBJECTIVE, given)


def test_a_learning_rate_beside_a_step_rule() -> None:
    for given in (0.5, jnp.asarray(0.5), optax.constant_schedule(1.0)):
        with pytest.raises(
            ValueError, match="newton got a step rule, LineSearch, and a learning rate or an adaptation"
        ):
            qn.newton(OBJECTIVE, given, step=qn.LineSearch())
    with pytest.raises(TypeError, match=r"newton: learning_rate is an array of the shape \(3,\)"):
        qn.newton(OBJECTIVE, jnp.ones(3), step=qn.LineSearch())
    qn.newton(OBJECTIVE, np.float64(1.0), step=qn.LineSearch())


def test_what_is_traced() -> None:
    with pytest.raises(TypeError, match="newton: refresh is traced, and decides what is compiled: give a number"):
        jax.jit(lambda refresh: qn.newton(OBJECTIVE, refresh=refresh).init(PARAMS))(2)
    # What is but a factor may be.
    bounds: Any = jax.jit(lambda clip: qn.newton(OBJECTIVE, clip=clip, solver=lx.LU()).init(PARAMS))
    assert bounds(1.0).count == 0
    rates: Any = jax.jit(lambda rate: qn.newton(OBJECTIVE, rate, solver=lx.LU()).init(PARAMS))
    assert rates(0.5).count == 0
    with pytest.raises(ValueError, match="newton got a step rule, LineSearch, and a learning rate"):
        jax.jit(lambda rate: qn.newton(OBJECTIVE, rate, step=qn.LineSearch()).init(PARAMS))(1.0)


RENAMED = [
    ("kfac", "period", "refresh", lambda **kw: qn.kfac(OBJECTIVE, **kw), 3),
    ("fisher_newton", "period", "refresh", lambda **kw: qn.fisher_newton(OBJECTIVE, **kw), 3),
    ("dual_newton", "start", "damping", lambda **kw: qn.dual_newton(OBJECTIVE, **kw), 0.5),
    ("LevenbergMarquardt", "start", "damping", qn.LevenbergMarquardt, 0.5),
    ("Shift", "amount", "offset", qn.Shift, 0.5),
]


@pytest.mark.parametrize(("owner", "old", "new", "make", "value"), RENAMED)
def test_a_renamed_argument_warns_where_it_is_written(owner: str, old: str, new: str, make: Any, value: Any) -> None:
    with pytest.warns(DeprecationWarning, match=f"{owner}: {old}= is called {new}= now") as caught:
        by_old_name = make(**{old: value})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_new_name = make(**{new: value})
    if not callable(getattr(by_new_name, "update", None)):
        assert by_old_name == by_new_name
        with pytest.warns(DeprecationWarning, match=rf"{owner}\.{old} is called {new} now") as caught:
            assert getattr(by_new_name, old) == value
        assert caught[0].filename == __file__
    with pytest.raises(TypeError, match=f"{old}= is the old name of {new}=: give only the latter"):
        make(**{old: value, new: value})


class Mine(qn.LevenbergMarquardt):
    """Has a field of its own."""

    extra: float = 1.0


class Own(qn.LevenbergMarquardt):
    """Means something else by the old name."""

    def __init__(self, start: float):
        super().__init__(damping=start)


class Old(qn.LevenbergMarquardt):
    """Still calls its base by the old name."""

    def __init__(self):
        super().__init__(start=0.5)  # pyright: ignore[reportCallIssue]


class Moved(qn.Shift):
    """Adds nothing."""


def test_subclasses_take_the_old_names_too() -> None:
    makes: dict[str, tuple[str, str, Any]] = {
        "Mine": ("start", "damping", lambda **given: Mine(**given, extra=2.0)),
        "Moved": ("amount", "offset", Moved),
        "LevenbergMarquardt": ("start", "damping", lambda **_: Old()),
    }
    for owner, (old, new, make) in makes.items():
        for _ in range(2):  # the first one of a class is no other than the next
            with pytest.warns(DeprecationWarning, match=f"{owner}: {old}= is called {new}= now") as caught:
                assert getattr(make(**{old: 0.5}), new) == 0.5
            assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Mine(damping=0.5).extra == 1
        assert Own(start=0.5).damping == 0.5
    with pytest.raises(TypeError, match="start= is the old name of damping=: give only the latter"):
        Mine(start=0.5, damping=0.5)  # pyright: ignore[reportCallIssue]
