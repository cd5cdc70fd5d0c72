"""Iterative solvers that see a matrix through its products only."""

from .cg import CG as CG
from .minres import MINRES as MINRES
