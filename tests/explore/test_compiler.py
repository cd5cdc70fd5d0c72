"""From jaxprs to JavaScript: every primitive, loops, and the refusal of what has none."""

import json
import math
import re
import subprocess
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxprs_in_params
from scipy import special

from qnewton._hardware import load_profile
from qnewton._hardware.distillation import FactoryTable, factory_table
from qnewton._hardware.frontier import factory_frontier
from qnewton.lab._explore.compiler import Uncompilable, compiled
from qnewton.lab._explore.emit import Script
from qnewton.lab._explore.primitives import ELEMENTWISE

from .conftest import node

SPECIAL = [0.0, 1.0, -1.0, 0.5, 2.0, 3.0, 10.0, 1e-300, 5e-324, 1e300, math.inf, -math.inf, math.nan, 2.5, -2.5, 1e15]
XS = np.concatenate([SPECIAL, 2.0 ** np.arange(-1074, 1024, 61), np.random.default_rng(1).normal(0, 3, 40)])
YS = np.random.default_rng(2).permutation(XS)


def in_numpy(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """By numpy and scipy: what `traced` should return."""
    mantissa, exponent = np.frexp(x)
    small = np.clip(np.nan_to_num(y), -1000, 1000)
    return {
        **{name: getattr(np, name)(x) for name in ("floor", "ceil", "sqrt", "cbrt", "exp", "exp2", "expm1", "sign")},
        **{name: getattr(np, name)(x) for name in ("log", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin")},
        **{name: getattr(np, name)(x) for name in ("arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "isfinite")},
        **{name: getattr(np, name)(x) for name in ("arccosh", "arctanh", "abs", "round", "square", "isnan")},
        **{name: getattr(np, name)(x, y) for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum")},
        **{name: getattr(np, name)(x, y) for name in ("power", "arctan2", "less", "equal", "not_equal", "fmod")},
        "expit": special.expit(x),
        "mantissa": mantissa,
        "exponent": np.where(np.isfinite(x), exponent, 0),
        "ldexp": np.ldexp(np.where(np.isfinite(x), mantissa, 1.0), np.trunc(small).astype(int)),
        "neg": -x,
        "le": x <= y,
        "gt": x > y,
        "ge": x >= y,
        "rsqrt": 1 / np.sqrt(x),
        "cube": np.power(x, 3),
        "inverse square": 1 / x**2,
        "either": np.where((x < y) | ~(y > 0) & (x == 1), x, y),
        "clipped": np.clip(x, -2.0, 5.0),
        "integers": np.floor_divide(np.trunc(small).astype(int), 7) + np.trunc(small).astype(int) % 3,
    }


def traced(x: Any, y: Any) -> dict[str, Any]:
    small = jnp.clip(jnp.nan_to_num(y), -1000, 1000)
    mantissa, exponent = jnp.frexp(x)
    whole = jnp.trunc(small).astype(int)
    found = {name: getattr(jnp, name)(x) for name in ("floor", "ceil", "sqrt", "cbrt", "exp", "exp2", "expm1", "sign")}
    unary = ("log", "log1p", "log2", "log10", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh")
    found |= {name: getattr(jnp, name)(x) for name in (*unary, "arcsinh", "arccosh", "arctanh", "abs", "round")}
    found |= {name: getattr(jnp, name)(x) for name in ("square", "isnan", "isfinite")}
    binary = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "arctan2", "less", "equal")
    found |= {name: getattr(jnp, name)(x, y) for name in (*binary, "not_equal", "fmod")}
    return {
        **found,
        "expit": jax.nn.sigmoid(x),
        "mantissa": mantissa,
        "exponent": exponent,
        "ldexp": jnp.ldexp(jnp.where(jnp.isfinite(x), mantissa, 1.0), whole),
        "neg": -x,
        "le": x <= y,
        "gt": x > y,
        "ge": x >= y,
        "rsqrt": lax.rsqrt(x),
        "cube": x**3,
        "inverse square": lax.integer_pow(x, -2),
        "either": jnp.where((x < y) | ~(y > 0) & (x == 1), x, y),
        "clipped": lax.clamp(-2.0, x, 5.0),
        "integers": whole // 7 + whole % 3,
    }


def loops(x: Any, y: Any) -> dict[str, Any]:
    """A sum of halves, the steps of Collatz, Fibonacci with a carried value that nothing needs, a loop in a loop."""
    whole = jnp.clip(jnp.abs(jnp.nan_to_num(x, posinf=7.0)), 1, 50).astype(int)

    def collatz(state: tuple[Any, Any]) -> tuple[Any, Any]:
        value, steps = state
        return jnp.where(value % 2 == 0, value // 2, 3 * value + 1), steps + 1

    def inner(outer: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, total: total + i * outer + jnp.exp(0.1 * whole), 0.0)

    table = jnp.asarray([3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0])
    return {
        "halves": lax.fori_loop(0, 30, lambda i, total: total + 0.5 ** (i + 1.0), 0.0),
        "collatz": lax.while_loop(lambda state: state[0] != 1, collatz, (whole, 0))[1],
        "fibonacci": lax.fori_loop(0, 20, lambda _, s: (s[1], s[0] + s[1], s[2] * y), (0, 1, 1.0))[0],
        "nested": lax.fori_loop(0, 4, lambda i, total: total + inner(1.0 * i), 0.0),
        "picked": table[jnp.minimum(whole, 7)],
        "found": jnp.searchsorted(jnp.asarray([1.0, 3.0, 7.0, 20.0]), 1.0 * whole),
        "branch": lax.cond(whole > 9, lambda v: v + 1.0, lambda v: v * 2.0, 1.0 * whole),
        "least": jnp.argmin(jnp.stack([20.0 - whole, 1.0 * whole, 15.0 - 0 * whole])),
        "vector": jnp.sum(jnp.stack([1.0 * whole, y * 0 + 2.0]) ** jnp.arange(1.0, 3.0)) + jnp.max(jnp.ones(3) * 4),
    }


def loops_in_python(x: float, y: float) -> dict[str, float]:
    whole = int(np.clip(abs(np.nan_to_num(x, posinf=7.0)), 1, 50))
    value, steps = whole, 0
    while value != 1:
        value, steps = (value // 2 if value % 2 == 0 else 3 * value + 1), steps + 1
    return {
        "halves": 1 - 0.5**30,
        "collatz": steps,
        "fibonacci": 6765,
        "nested": sum(sum(i * outer + math.exp(0.1 * whole) for i in range(3)) for outer in range(4)),
        "picked": [3, 1, 4, 1, 5, 9, 2, 6][min(whole, 7)],
        "found": int(np.searchsorted([1.0, 3.0, 7.0, 20.0], whole)),
        "branch": whole + 1 if whole > 9 else 2 * whole,
        "least": int(np.argmin([20.0 - whole, whole, 15.0])),
        "vector": whole + (y * 0 + 2) ** 2 + 4,
    }


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, np.ndarray]]:
    """What Node returns for both functions at all points."""
    script = Script()
    graphs = {function.__name__: compiled(function.__name__, function, ["x", "y"]) for function in (traced, loops)}
    texts = {name: script.function(graph) for name, graph in graphs.items()}
    points = json.dumps([[str(x), str(y)] for x, y in zip(XS, YS, strict=True)]).replace('inf"', 'Infinity"')
    path = tmp_path_factory.mktemp("compiler") / "run.js"
    functions = ",".join(f"{name}:{text}" for name, text in texts.items())
    path.write_text(
        f"{script.text}const F={{{functions}}},P={points.replace('nan', 'NaN')}.map(p=>p.map(Number));"
        "const all=Object.values(F).flatMap(f=>P.flatMap(p=>f(...p)));"
        "process.stdout.write(Buffer.from(new Float64Array(all).buffer))",
        encoding="utf-8",
    )
    done = subprocess.run([node(), str(path)], capture_output=True, timeout=60, check=False)
    assert not done.returncode, done.stderr.decode()
    found, start = {}, 0
    for name, graph in graphs.items():
        size = len(XS) * len(graph.outputs)
        block = np.frombuffer(done.stdout)[start : start + size].reshape(len(XS), -1)
        found[name] = dict(zip(graph.outputs, block.T, strict=True))
        start += size
    return found


def test_every_primitive_is_that_of_numpy(answers: dict[str, Any]) -> None:
    with np.errstate(all="ignore"):
        wanted = in_numpy(XS, YS)
    assert set(wanted) == set(answers["traced"])
    for name, values in wanted.items():
        got, values = answers["traced"][name], np.asarray(values, float)
        # Elsewhere rounding is the math library's; of huge angles it is the reduction's.
        exact = name in ("mantissa", "exponent", "ldexp", "floor", "ceil", "round", "sqrt", "integers")
        np.testing.assert_allclose(got, values, rtol=0 if exact else 1e-14, atol=0, err_msg=name)
    powers = np.frexp(XS)[0] == 0.5
    assert np.array_equal(answers["traced"]["log2"][powers], np.log2(XS[powers]))


def test_loops_are_those_of_python(answers: dict[str, Any]) -> None:
    for place, (x, y) in enumerate(zip(XS.tolist(), YS.tolist(), strict=True)):
        for name, value in loops_in_python(x, y).items():
            assert answers["loops"][name][place] == pytest.approx(value, rel=1e-14, nan_ok=True), (name, x, y)


@pytest.mark.parametrize(
    ("function", "primitive"),
    [
        (lambda x: {"r": lax.lgamma(x)}, "the primitive lgamma has"),
        (lambda x: {"r": jnp.linalg.cholesky(x * jnp.eye(2))[0, 0]}, "the primitive cholesky has"),
        (lambda x: {"r": x.astype("float32")}, "convert_element_type of type float32"),
        (lambda x: {"r": x.astype(int) & 3}, "the primitive and of integers"),
        (lambda x: {"r": jnp.sort(jnp.stack([x, 1 - x]))[0]}, "the primitive sort has"),
        (lambda x: {"r": x * jnp.ones(3)}, r"a result has the shape \(3,\)"),
        (lambda x: {"r": jnp.sum(x * jnp.arange(1000.0))}, "an array of 1000 constants"),
    ],
)
def test_what_has_no_javascript_is_refused_by_its_name(function: Callable, primitive: str) -> None:
    with pytest.raises(Uncompilable, match=f"^count/paper2027: .*{primitive}"):
        compiled("count/paper2027", function, ["x"])


def test_equal_expressions_are_computed_once_and_loops_keep_what_varies() -> None:
    def function(x: Any) -> dict[str, Any]:
        total = lax.fori_loop(0, 9, lambda i, total: total + jnp.exp(x), 0.0)
        return {"a": jnp.exp(x) + 1, "b": jax.jit(lambda v: jnp.exp(v))(x) * total}

    script = Script()
    text = script.function(compiled("f", function, ["x"]))
    assert len(re.findall(r"\bexp\(", script.text + text)) == 1


@pytest.mark.parametrize(
    ("machine", "table"), [("superconducting", factory_table), ("majorana-pairwise", factory_frontier)]
)
def test_what_single_precision_traced_before_is_compiled_in_double(machine: str, table: Callable[[Any], Any]) -> None:
    """JAX remembers the constants of a trace."""
    found = table(load_profile(machine))

    def function(x: Any) -> dict[str, Any]:
        if isinstance(found, FactoryTable):
            return {"seconds": found.lookup(jnp, 0.0 * x + 21.0, x)[1]}
        return {"count": found.fewest_qubits(jnp, x, 1e9 + 0.0 * x, 1.0 + 0.0 * x, 1.0, 1.0)[0]}

    alone = jax.jit(function)(jnp.float32(-20.0))
    assert all(value.dtype == jnp.float32 for value in alone.values())
    assert compiled("tables", function, ["x"]).outputs == tuple(alone)


def test_equal_loops_are_one_function() -> None:
    def function(x: Any) -> dict[str, Any]:
        return {"a": lax.fori_loop(0, 9, lambda i, total: total * x, x)}

    script = Script()
    texts = [script.function(compiled(name, function, [name])) for name in ("x", "other")]
    assert texts[0] == texts[1]
    assert script.text.count("$<9") == 1


def test_every_template_is_tried() -> None:
    """A primitive that is added to the table has a row in `traced` or `loops`."""
    seen: set[str] = set()

    def walk(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            seen.add(equation.primitive.name)
            for inner in jaxprs_in_params(equation.params):
                walk(inner)

    with jax.enable_x64(True):
        for function in (traced, loops):
            walk(jax.make_jaxpr(function)(1.0, 1.0).jaxpr)
    assert set(ELEMENTWISE) - seen == set()
