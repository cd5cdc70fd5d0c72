"""A quantum linear solver algorithm as a candidate of the scheduler, whose execution is `modelled`."""

from typing import ClassVar

import equinox as eqx
import lineax as lx

from ..._core.arrays import Number
from ..._core.kinds import check_scalars, plain
from ..._core.records import Encoding, QuantumWorkload
from ..._core.status import Refusal
from ..base import AbstractDelegate, AbstractQuantumSolver, AbstractSolver
from ..capabilities import Capabilities
from ..direct import LU
from ..refusals import check_solver
from .precision import check_state_error
from .queries import Matrices, QueryModel, Unit, jennings2023v1


class QLSA(AbstractDelegate, AbstractQuantumSolver):
    """A quantum linear solver with the cost of a published query count, and a classical solver's solution.

    This is the execution `modelled` of every public Q-Newton result: the stand-in gives the exact solution, so
    nothing of a real machine's error is in it. Records and reports say so.

    Attributes:
        queries: the query count, e.g. `jennings2023v1`; `qnewton.queries.QUERY_MODELS` has them all.
        precision: epsilon, relative 2-norm error of the step that is asked for, in (0, 1). Where the read-out is free
            all of it is the solver's, an error of its normalised state; else the assumption set shares it out.
        stand_in: the classical solver that produces the numbers.
        solution_norm: `||x||` for `||A|| = ||b|| = 1`, where it is known; else its least value is assumed by counts
            that depend on it.
    """

    queries: QueryModel = eqx.field(static=True, default=jennings2023v1)
    precision: float = eqx.field(static=True, converter=plain, default=1e-2)
    stand_in: AbstractSolver = LU()
    solution_norm: float | None = eqx.field(static=True, converter=plain, default=None)
    execution: ClassVar[str] = "modelled"

    def __check_init__(self):
        check_scalars(self)
        check_state_error("precision", self.precision)
        check_solver(self.stand_in, "stand-in of QLSA", "which states its stand-in's needs and name")
        if self.stand_in.execution is not None:
            raise TypeError(
                f"{self.stand_in.name} is no stand-in of QLSA: it is quantum itself, whose execution is "
                f"{self.stand_in.execution!r}, and records would call its numbers a classical solver's: use LU(), or "
                f"{type(self.stand_in).__name__} alone"
            )
        if not isinstance(self.queries, QueryModel):
            raise TypeError(
                f"queries is {self.queries!r}: give a QueryModel, which also says where its formula comes from, e.g. "
                "one of qnewton.queries.QUERY_MODELS"
            )
        norm = self.solution_norm
        if norm is not None and not 1 <= norm < float("inf"):
            raise ValueError(
                f"solution_norm is {norm}: it is ||x|| for ||A|| = ||b|| = 1, which is at least 1; leave it out where "
                "it is not known"
            )

    @property
    def capabilities(self) -> Capabilities:
        # Who stands in decides how the system is handed over; neither its steps nor a guess are the quantum solver's.
        own, definite = self.stand_in.capabilities, self.queries.matrices is Matrices.DEFINITE
        return Capabilities(
            quantum=True,
            matrix_free=own.matrix_free,
            needs_matrix=not own.matrix_free,
            needs_root=own.needs_root,
            needs_layers=own.needs_layers,
            needs_symmetric=own.needs_symmetric or definite,
            needs_definite=own.needs_definite or definite,
        )

    def refuses(self, operator: lx.AbstractLinearOperator) -> Refusal:
        return self.stand_in.refuses(operator)

    @property
    def name(self) -> str:
        return f"QLSA({self.queries.name})"

    @property
    def runs_as(self) -> str:
        return self.stand_in.runs_as

    @property
    def inner(self) -> lx.AbstractLinearSolver:
        return self.stand_in

    @property
    def asked_precision(self) -> float:
        return self.precision

    @property
    def known_norm(self) -> float | None:
        return self.solution_norm

    @property
    def counts_sparse_access(self) -> bool:
        return self.queries.unit is Unit.SPARSE_ACCESS

    def count(self, encoding: Encoding, precision: Number) -> QuantumWorkload:
        """The published count."""
        return self.queries(encoding, precision, self.solution_norm)
