"""optax's own tests of contributed optimizers, and lineax's of solvers, run on ours.

    .venv/bin/python benchmarks/peers.py [--lineax CHECKOUT] [--only TEXT]

optax's wheel has its tests; lineax's are in its repository, of which a checkout is given. Nothing of either is copied:
optax's test class is told that one of ours is the optimizer `sophia`, the one that its tests hand the objective, and
lineax's table of solvers is replaced by ours before its tests are collected.

The last line of the output is one JSON object: of each of our optimizers and of lineax's tests the outcome of every
test, `passed`, `skipped`, or the first line of what was raised.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax

import qnewton as q

OF_SCALARS: dict[str, Callable[[q.Objective, float], Any]] = {
    "blocks": lambda own, rate: q.newton(own, curvature=q.Hessian(), solver=q.SaddleFree(), learning_rate=rate),
    "blocks-adapted": lambda own, rate: q.newton(own, curvature=q.Hessian(), solver=q.SaddleFree()),
    "dual": lambda own, rate: q.dual_newton(own),
    "fisher": lambda own, rate: q.fisher_newton(own, rate, weight_decay=0.0),
}
"""Optimizers whose state needs no model, as the test has none to give when it asks for the state."""

PLUGIN = """
import importlib


def pytest_sessionstart():
    # Not before: lineax's own configuration chooses the precision.
    import lineax as lx

    import qnewton as q

    helpers = importlib.import_module("tests.helpers")
    tight = helpers.tol
    table = [
        (q.Cholesky(), lx.positive_semidefinite_tag, False),
        (q.CG(rtol=tight), lx.positive_semidefinite_tag, False),
        (q.MINRES(rtol=tight), lx.symmetric_tag, False),
        (q.Eigh(), lx.symmetric_tag, False),
    ]
    helpers.solvers_tags_pseudoinverse[:] = table
    helpers.solvers_tags[:] = [row[:2] for row in table]
    helpers.solvers[:] = [row[0] for row in table]
    helpers.pseudosolvers_tags[:] = []
"""


def of_scalar(make: Callable[[q.Objective, float], Any]) -> Callable[..., Any]:
    """An optimizer as `optax.contrib.sophia` is called: the objective, a number, comes with every update."""

    def factory(learning_rate: Any) -> Any:
        def made(function: Callable[[Any], Any]) -> Any:
            def predict(params: Any, inputs: Any) -> Any:
                return jnp.broadcast_to(function(params).astype(jnp.float32), inputs.shape[:1])

            return make(q.Objective(predict, lambda outputs, _: outputs), learning_rate)

        def update(updates: Any, state: Any, params: Any = None, *, obj_fn: Any, **_: Any) -> Any:
            return made(obj_fn).update(updates, state, params, batch=(jnp.zeros((1, 1)), jnp.zeros(1)))

        shapes_alone: Any = made(lambda params: jnp.zeros(())).init
        # optax's types know no argument that must be given.
        return optax.GradientTransformationExtraArgs(shapes_alone, update)  # pyright: ignore[reportArgumentType]

    return factory


def said(trace: str) -> str:
    """What was raised: the first line that names an exception."""
    lines = [line for line in trace.splitlines() if line and not line.startswith((" ", "Traceback", "-"))]
    return lines[0][:200] if lines else trace[:200]


def optax_on(make: Callable[[q.Objective, float], Any], only: str) -> dict[str, str]:
    """Outcome of each of optax's tests for one optimizer of ours."""
    tests: Any = importlib.import_module("optax.contrib._common_test")
    tests._get_opt_factory = lambda name: of_scalar(make)
    known = tests.ContribTest._test_params_reprs
    names = [
        name for name, told in known.items() if "'sophia'" in told and "wrapper_name=None" in told and only in name
    ]
    outcomes = {}
    for name in names:
        result = unittest.TestResult()
        tests.ContribTest(name).run(result)
        wrong = [trace for _, trace in (*result.errors, *result.failures)]
        outcomes[f"{name} {known[name]}"] = said(wrong[0]) if wrong else "skipped" if result.skipped else "passed"
        print(name, outcomes[f"{name} {known[name]}"], flush=True)
    return outcomes


def lineax_on(checkout: Path, only: str) -> dict[str, str]:
    """Outcome of each of lineax's tests that reads its table of solvers."""
    files = ["test_well_posed.py", "test_jvp.py", "test_transpose.py", "test_vmap.py", "test_adjoint.py"]
    chosen = [str(checkout / "tests" / name) for name in files if (checkout / "tests" / name).exists()]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "peers_plugin.py").write_text(PLUGIN)
        report = Path(folder) / "report.xml"
        path = os.pathsep.join([folder, str(checkout), os.environ.get("PYTHONPATH", "")])
        # Without its own options, which have every function's types checked.
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "peers_plugin"]
        command += [f"--junitxml={report}", *chosen]
        command += ["-k", only] if only else []
        subprocess.run(command, cwd=checkout, env={**os.environ, "PYTHONPATH": path}, check=False)
        from xml.etree import ElementTree

        found = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else []
        outcomes = {}
        for case in found:
            wrong = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
            name = f"{case.get('classname')}.{case.get('name')}"
            told = "passed" if wrong is None else "skipped" if wrong.tag == "skipped" else wrong.get("message", "")
            outcomes[name] = told.splitlines()[0][:200] if told else "failed"
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lineax", type=Path, help="a checkout of lineax's repository")
    parser.add_argument("--only", default="", help="part of the names of tests to run")
    parser.add_argument("--optimizers", nargs="*", default=list(OF_SCALARS), choices=list(OF_SCALARS))
    options = parser.parse_args()
    outcomes: dict[str, dict[str, str]] = {}
    for name in options.optimizers:
        print(name, flush=True)
        outcomes[f"optax {name}"] = optax_on(OF_SCALARS[name], options.only)
    if options.lineax is not None:
        outcomes["lineax"] = lineax_on(options.lineax.resolve(), options.only)
    counts = {
        of: {"passed": sum(v == "passed" for v in all_of.values()), "of": len(all_of)}
        for of, all_of in outcomes.items()
    }
    print(json.dumps({"counts": counts, "outcomes": outcomes}))


if __name__ == "__main__":
    main()
