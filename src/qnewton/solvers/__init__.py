"""Linear solvers: each solves, and states its workload for a system's estimate. None of them knows a clock."""

from .base import AbstractSolver as AbstractSolver
from .direct import LU as LU
from .direct import Cholesky as Cholesky
from .quantum.qlsa import QLSA as QLSA
