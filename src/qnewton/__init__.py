"""Hybrid quantum-classical Newton training.

Every Newton system of a training step is a task that a scheduler gives to the solver that is predicted to finish it
soonest: a classical one (calibrated seconds) or a quantum linear solver algorithm (modelled seconds).

The public names are those of `__all__` and of the namespaces among them. Names that begin with an underscore are
private. Each name is loaded on first access, so that a command that needs few of them (`qnewton plan`) does not wait
for all.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import version

    from ._api import *

    __version__ = version("qnewton")

__all__ = [
    "CG",
    "EKFAC",
    "KFAC",
    "LU",
    "MINRES",
    "QLSA",
    "Block",
    "Cholesky",
    "CircuitQSVT",
    "ClassicalMachine",
    "Correction",
    "Damp",
    "Dual",
    "Eigh",
    "EmpiricalFisher",
    "EmulatedQSVT",
    "EmulatedReflection",
    "EmulatedWalk",
    "Fixed",
    "GaussJordan",
    "GaussNewton",
    "Hessian",
    "Hybrid",
    "Inverse",
    "Jacobi",
    "KLClip",
    "Levenberg",
    "LevenbergMarquardt",
    "LineSearch",
    "Marquardt",
    "Microbatched",
    "Nystrom",
    "Objective",
    "Prune",
    "QuadraticModel",
    "QuantumMachine",
    "Refine",
    "SaddleFree",
    "ScaleDiagonal",
    "Shared",
    "Shift",
    "Status",
    "TrustRegion",
    "Workers",
    "assumptions",
    "breakeven",
    "calibrate",
    "conditioning",
    "curvature",
    "devices",
    "dual_newton",
    "emulation",
    "encodings",
    "estimators",
    "fisher_newton",
    "freeze",
    "hardware",
    "independence",
    "kfac",
    "load_profile",
    "memory_estimate",
    "newton",
    "optim",
    "per_layer",
    "per_tensor",
    "plan",
    "qsp",
    "queries",
    "readouts",
    "recipe",
    "scheduling",
    "solvers",
    "spectrum",
    "testing",
    "whole",
]

if not TYPE_CHECKING:
    import sys

    from ._core.on_demand import on_demand
    from ._moved_modules import MovedModules

    # First, or Python would find what is inside an old folder a second time by the new folder's own path.
    sys.meta_path.insert(0, MovedModules())

    _load, _names, _listed = on_demand(__name__, f"{__name__}._api")

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("qnewton")
        if name in _listed or name.startswith("_"):
            return _load(name)
        from ._moved import moved

        return moved(name)

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])
