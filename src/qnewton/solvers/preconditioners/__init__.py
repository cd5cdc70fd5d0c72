"""Preconditioners of the iterative solvers: `init` once per operator, `apply` once per iteration."""

from .base import AbstractPreconditioner as AbstractPreconditioner
from .base import Identity as Identity
from .ekfac import EKFAC as EKFAC
from .jacobi import Jacobi as Jacobi
from .kfac import KFAC as KFAC
from .nystrom import Nystrom as Nystrom
