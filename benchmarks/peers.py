"""optax's own tests of contributed optimizers, and lineax's of solvers, run on ours.

    .venv/bin/python benchmarks/peers.py [--lineax CHECKOUT] [--only TEXT]

optax's wheel has its tests; lineax's are in its repository, of which a checkout is given. Nothing of either is copied:
optax's test class is told that one of ours is the optimizer `sophia`, the one that its tests hand the objective, and
lineax's table of solvers is replaced by ours before its tests are collected.

The last line of the output is one JSON object: of each of our optimizers and of lineax's files of tests the outcome of
every test: `passed`, `skipped`, `refused: ` and why, where what was raised is what should be, or the first line of what
was raised. The exit status is 1 if there is any of the last kind.
"""

import argparse
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
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

WRAPPERS: dict[str, dict[str, Any]] = {"schedule_free": {"learning_rate": 1.0}, "mechanize": {"weight_decay": 0.0}}
"""Of `optax.contrib`, with their arguments; its tests hand the objective to no optimizer in `reduce_on_plateau`."""

LINEAX_FILES = (
    "test_well_posed.py",
    "test_transpose.py",
    "test_jvp.py",
    "test_vmap.py",
    "test_vmap_jvp.py",
    "test_vmap_vmap.py",
    "test_jvp_jvp1.py",
)
"""Those that read the table of solvers; of `test_jvp_jvp2.py`, which has the same test, one half is enough."""

REFUSED = (
    (
        r"(MINRES|Eigh) needs a Hermitian operator",
        "complex128 with symmetric_tag is A = A^T in lineax, whose eigenvalues are not real",
    ),
    (
        r"may only be used for operators that are known to be positive or negative definite|needs a symmetric operator",
        "an untagged general matrix, from which the test excepts lineax's own CG and Cholesky by class",
    ),
)
"""What a solver rightly says of what a test gives it, and why."""

PLUGIN = """
import importlib


def pytest_sessionstart():
    # Not before: lineax's own configuration chooses the precision.
    import lineax as lx

    import qnewton as q

    helpers = importlib.import_module("tests.helpers")
    tight = helpers.tol
    positive, negative, symmetric = (
        lx.positive_semidefinite_tag, lx.negative_semidefinite_tag, lx.symmetric_tag
    )
    table = [
        (q.LU(), (), False),
        (q.Cholesky(), positive, False),
        (q.Cholesky(), negative, False),
        (q.Cholesky(fallback=True), positive, False),
        (q.CG(rtol=tight), positive, False),
        (q.CG(rtol=tight), negative, False),
        (q.MINRES(rtol=tight), symmetric, False),
        (q.MINRES(rtol=tight), positive, False),
        (q.Eigh(), symmetric, False),
        (q.Eigh(), positive, False),
    ]
    helpers.solvers_tags_pseudoinverse[:] = table
    helpers.solvers_tags[:] = [row[:2] for row in table]
    helpers.solvers[:] = [row[0] for row in table]
    # Not even Eigh, a pseudo-inverse: singular matrices are drawn without symmetry.
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
    """Outcome of each of optax's tests for one optimizer of ours, alone and inside of `WRAPPERS`."""
    tests: Any = importlib.import_module("optax.contrib._common_test")
    tests._get_opt_factory = lambda name: of_scalar(make)
    known = tests.ContribTest._test_params_reprs
    outcomes = {}

    def note(name: str, case: unittest.TestCase) -> None:
        result = unittest.TestResult()
        case.run(result)
        wrong = [trace for _, trace in (*result.errors, *result.failures)]
        outcomes[name] = said(wrong[0]) if wrong else "skipped" if result.skipped else "passed"
        print(name, outcomes[name], flush=True)

    for name, told in known.items():
        if only not in name or "'sophia'" not in told or "wrapper_name=None" not in told:
            continue
        note(f"{name} {told}", tests.ContribTest(name))
        for wrapper, given in WRAPPERS.items():
            if "wrap=False" in told or "learning_rate_schedule" in name:
                continue

            class Wrapped(tests.ContribTest):
                """The same test, told that the optimizer stands in a wrapper."""

            # The test's own function, under the decorator that hands it its arguments.
            test: Any = getattr(tests.ContribTest, name)
            cells = dict(zip(test.__code__.co_freevars, (cell.cell_contents for cell in test.__closure__), strict=True))
            arguments = {**cells["testcase_params"], "wrapper_name": wrapper, "wrapper_kwargs": given}
            setattr(Wrapped, name, functools.partialmethod(cells["test_method"], **arguments))
            note(f"{wrapper}: {name} {told}", Wrapped(name))
    return outcomes


def lineax_on(checkout: Path, only: str) -> dict[str, str]:
    """Outcome of each of lineax's tests that reads its table of solvers."""
    chosen = [str(checkout / "tests" / name) for name in LINEAX_FILES]
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
            why = next((reason for pattern, reason in REFUSED if re.search(pattern, told)), None)
            outcomes[name] = f"refused: {why}" if why else told.splitlines()[0][:200] if told else "failed"
    return outcomes


def main() -> int:
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
    counts = {of: dict(Counter(kind(one) for one in all_of.values())) for of, all_of in outcomes.items()}
    print(json.dumps({"counts": counts, "outcomes": outcomes}))
    return int(any("failed" in count for count in counts.values()))


def kind(outcome: str) -> str:
    """One word for an outcome."""
    return outcome.partition(":")[0] if outcome.startswith(("passed", "skipped", "refused:")) else "failed"


if __name__ == "__main__":
    sys.exit(main())
