"""What a public function is handed in place of what it takes gets one sentence, and renamed arguments still serve."""

import warnings
from typing import Any

import jax.numpy as jnp
import lineax as lx
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
        (lambda q: q.kfac(OBJECTIVE, step="clip"), r"kfac: step is 'clip': give KLClip\(\)"),
        (lambda q: q.dual_newton(OBJECTIVE, metric=3), r"dual_newton: metric is 3: give Marquardt\(\)"),
        (lambda q: q.spectrum(OBJECTIVE, PARAMS, BATCH, conditioning=q.Damp()), "spectrum: conditioning is one Damp"),
        (lambda q: q.memory_estimate(OBJECTIVE, PARAMS, BATCH, optimizer=3), "memory_estimate: optimizer is 3: give a"),
        (lambda q: q.Microbatched(q.GaussNewton, 4), "Microbatched: inner is the class GaussNewton: make one"),
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
