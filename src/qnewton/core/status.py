"""Failure as data: what a block's solve came to, and what to do about it."""

import enum


class Status(enum.IntEnum):
    """Outcome of one block in one step; every outcome but `OK` means that the block took a plain gradient step."""

    OK = 0
    NOT_FINITE = 1
    NO_CANDIDATE = 2
    NOT_SOLVED = 3

    @property
    def label(self) -> str:
        """The name used in the run files."""
        return self.name.lower()

    @property
    def remedy(self) -> str:
        """What went wrong and what to do, in words."""
        return _REMEDIES[self]


_REMEDIES = {
    Status.OK: "solved",
    Status.NOT_FINITE: "the curvature block or the gradient holds NaN or infinity: look for an overflowing loss in "
    "this batch, or lower the learning rate",
    Status.NO_CANDIDATE: "no candidate could take the system (Cholesky needs a positive definite matrix, a quantum "
    "solver a finite condition number in its range): add LU to the candidates or raise the damping",
    Status.NOT_SOLVED: "the solution missed the residual tolerance: the system is numerically singular, raise the "
    "damping",
}
