"""Ours: qnewton's optax transformations, guarded, so that the harness runs where one does not exist yet."""

from typing import Any

import jax

import qnewton as qn

from .contestants import Configuration, Contestant, product
from .fused import Fused
from .optax_rivals import optax_rule
from .problems import Problem

# Objects of a grid by the names that the output shows: looked up when a program is built.
OBJECTS = {
    "QuadraticModel(.01)": lambda: qn.QuadraticModel(damping=0.01),
    "QuadraticModel(.03)": lambda: qn.QuadraticModel(damping=0.03),
    "QuadraticModel(.1)": lambda: qn.QuadraticModel(damping=0.1),
    "QuadraticModel(.03, shrink=.8)": lambda: qn.QuadraticModel(damping=0.03, shrink=0.8),
    "QuadraticModel(.1, shrink=.8)": lambda: qn.QuadraticModel(damping=0.1, shrink=0.8),
    "QuadraticModel(.01, shrink=.8)": lambda: qn.QuadraticModel(damping=0.01, shrink=0.8),
    "KLClip(.1)": lambda: qn.KLClip(rate=0.1),
    "KLClip(.1, damping=1e-3)": lambda: qn.KLClip(rate=0.1, damping=1e-3),
    "KLClip(.15)": lambda: qn.KLClip(rate=0.15),
    "KLClip(.15, damping=1e-2)": lambda: qn.KLClip(rate=0.15, damping=1e-2),
    "KLClip(.2)": lambda: qn.KLClip(rate=0.2),
    "KLClip(.2, damping=1e-2)": lambda: qn.KLClip(rate=0.2, damping=1e-2),
    "CG(10 steps)": lambda: qn.CG(rtol=1e-3, max_steps=10),
    "CG(20 steps)": lambda: qn.CG(rtol=1e-3, max_steps=20),
    "Shift(.1)": lambda: (qn.Shift(0.1),),
    "Shift(1)": lambda: (qn.Shift(1.0),),
    "Shift(.01)": lambda: (qn.Shift(0.01),),
}


def _resolve(static: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments, with names of objects replaced by the objects."""
    return {
        name: OBJECTS[value]() if isinstance(value, str) and value in OBJECTS else value
        for name, value in static.items()
    }


def _ours(name: str, grid: dict[str, tuple[Configuration, ...]], reason: str = "does not apply") -> Contestant:
    attribute = getattr(qn, name.removesuffix("()"), None)

    def build(problem: Problem, static: dict[str, Any]) -> Fused:
        arguments = _resolve(static)

        def make(**hyper: Any) -> Any:
            if name == "recipe":
                return qn.recipe(problem.objective, problem.init(0), problem.batch)
            if name == "newton()":
                # Nothing said but what a batch looks like: full or not, it has to find out.
                few = jax.tree.map(lambda leaf: leaf[: problem.batch_size], problem.batch)
                return qn.newton(problem.objective, example=few)
            return attribute(problem.objective, **arguments, **hyper)

        return Fused(problem, optax_rule(problem, make), grid[problem.name][0])

    missing = None if callable(attribute) else f"qnewton has no `{name}` yet"
    return Contestant(f"qn.{name}", "second-order", grid, build, ours=True, missing=missing, reason=reason)


# A transformation that has not been given a grid yet runs with its defaults: one configuration, no tuning. Numbers that
# it accepts as arrays belong into `product(name=(...))` and share a compilation; everything else is static.
DEFAULTS = (Configuration(),)

QUADRATIC = product(static={"step": tuple(name for name in OBJECTS if name.startswith("QuadraticModel"))})

ALL = ("digits", "digits28", "autoencoder", "poisson", "autoencoder_minibatch")

OURS = (
    _ours("newton()", dict.fromkeys(ALL, DEFAULTS)),
    _ours(
        "recipe", dict.fromkeys(("digits", "digits28", "autoencoder", "poisson"), DEFAULTS), reason="for full batches"
    ),
    _ours(
        "kfac",
        {
            "digits": QUADRATIC,
            "digits28": QUADRATIC,
            "autoencoder": QUADRATIC,
            "autoencoder_minibatch": product(
                static={
                    "step": tuple(name for name in OBJECTS if name.startswith("KLClip")),
                    "refresh": (10,),
                    "average": (0.8,),
                }
            ),
        },
        reason="for more residuals than parameters",
    ),
    _ours(
        "dual_newton",
        {"poisson": product(static={"damping": (1e-2, 1e-1, 1.0), "acceleration": (0.75, None)})},
        reason="for fewer residuals than parameters",
    ),
    _ours(
        "newton",
        {
            "digits": product(
                static={
                    "solver": ("CG(10 steps)", "CG(20 steps)"),
                    "conditioning": ("Shift(.01)", "Shift(.1)", "Shift(1)"),
                    # A truncated solve is a direction all the same.
                    "residual_tolerance": (1.0,),
                }
            ),
        },
        reason="kfac and dual_newton are for these",
    ),
)
