"""From a system to the numbers that its cost depends on, and how sure they are."""

from .automatic import Automatic as Automatic
from .base import AbstractEstimator as AbstractEstimator
from .certified import Certified as Certified
from .determinant import DefiniteDeterminantNorm as DefiniteDeterminantNorm
from .determinant import DeterminantNorm as DeterminantNorm
from .exact import Exact as Exact
from .lanczos import InverseLanczos as InverseLanczos
from .lanczos import Lanczos as Lanczos
