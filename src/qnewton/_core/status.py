"""Failure as data: outcome of a block's solve, reason for refusing a candidate, and remedy."""

import enum


class Code(enum.IntEnum):
    """An outcome that compiled functions return as a number, and files and messages show as a word."""

    @property
    def label(self) -> str:
        """The name used in the run files."""
        return self.name.lower()


class Status(Code):
    """Outcome of one block in one step; every outcome but `OK` means that the block took a plain gradient step."""

    OK = 0
    NOT_FINITE = 1
    NO_CANDIDATE = 2
    NOT_SOLVED = 3
    COUPLED = 4
    NO_CURVATURE = 5

    @property
    def remedy(self) -> str:
        """Cause and the remedy in words."""
        return _REMEDIES[self]


_REMEDIES = {
    Status.OK: "solved",
    Status.NOT_FINITE: "the curvature block or the gradient holds NaN or infinity: look for an overflowing loss in "
    "this batch, or lower the learning rate",
    Status.NO_CANDIDATE: "no candidate could take the system (Cholesky needs a positive definite matrix, a quantum "
    "solver a finite condition number in its range): add LU to the candidates or raise the damping",
    Status.NOT_SOLVED: "the solution missed the residual tolerance: the system is numerically singular, raise the "
    "damping",
    Status.COUPLED: "the examples of this batch influence each other, and what was asked for is made of single "
    "examples (K-FAC, empirical Fisher): use newton with GaussNewton() or Hessian(), which take the whole batch's "
    "curvature",
    Status.NO_CURVATURE: "the loss has no curvature in the model's outputs on this batch (a model that returns its "
    "loss, absolute errors), so the step follows the gradient: use qnewton.newton with curvature=qnewton.Hessian() and "
    "solver=qnewton.SaddleFree(), or qnewton.fisher_newton",
}


class Verdict(Code):
    """Outcome of the scheduler's policy for one system."""

    CHOSEN = 0
    NOBODY = 1
    OVER_BUDGET = 2


class Refusal(enum.IntEnum):
    """Why a candidate of the scheduler cannot take a system, or why the policy passed it over.

    The latter are `ABOVE_THRESHOLD` to `UNDERCUT`. Known before anything is computed are `NOT_SYMMETRIC`, `NO_ROOT`,
    `NO_LAYERS`, `SQUARED` and `NO_MEMORY`.
    """

    NONE = 0
    NOT_FINITE = 1
    NOT_SYMMETRIC = 2
    NOT_DEFINITE = 3
    NO_CONDITION_NUMBER = 4
    OUT_OF_RANGE = 5
    NO_ROOT = 6
    NO_LAYERS = 7
    NO_PREDICTION = 8
    ABOVE_THRESHOLD = 9
    NOT_NAMED = 10
    OVER_BUDGET = 11
    UNDERCUT = 12
    SQUARED = 13
    NO_MEMORY = 14

    @property
    def reason(self) -> str:
        """The reason in words, as the run files have it."""
        return _REASONS[self]


_REASONS = {
    Refusal.NONE: "can take it",
    Refusal.NOT_FINITE: "the system is not finite",
    Refusal.NOT_SYMMETRIC: "needs a symmetric matrix",
    Refusal.NOT_DEFINITE: "needs a positive definite matrix",
    Refusal.NO_CONDITION_NUMBER: "the condition number is infinite or above the floating-point range",
    Refusal.OUT_OF_RANGE: "the condition number or the precision is outside the range of the formula",
    Refusal.NO_ROOT: "needs a damped block that is not formed and has a square root: a Gauss-Newton matrix or an "
    "empirical Fisher matrix, not pruned",
    Refusal.NO_LAYERS: "its preconditioner needs the Kronecker factors of a block that is not formed, with recognised "
    "layers",
    Refusal.NO_PREDICTION: "its predicted seconds are not a finite number",
    Refusal.ABOVE_THRESHOLD: "the policy keeps condition numbers above its threshold classical",
    Refusal.NOT_NAMED: "the policy names another candidate",
    Refusal.OVER_BUDGET: "the policy's budget is smaller than what it would spend",
    Refusal.SQUARED: "forms the square of the root, whose condition number this precision does not resolve at the "
    "least damping",
    Refusal.NO_MEMORY: "would form the block, for which there is no memory",
    Refusal.UNDERCUT: "even its least cost exceeds what another candidate is sure to do it for",
}
