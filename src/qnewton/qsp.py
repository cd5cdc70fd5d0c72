"""Quantum signal processing alone: the polynomial that inverts, its phases, and their accuracy.

    from qnewton import qsp

    polynomial = qsp.InversePolynomial.within(kappa=100, epsilon=1e-6)
    found = qsp.symmetric_phases(polynomial.coefficients() / (1.01 * polynomial.maximum))
    angles = qsp.projector_phases(found.phases)  # for a QSVT circuit, PennyLane's for one

Nothing here knows the rest of the package, and `import qnewton` does not load it. Conventions are in the docstrings of
`symmetric_phases`, `real_phases` and `projector_phases`; polynomials are Chebyshev coefficients throughout, as in
`numpy.polynomial.chebyshev`.
"""

from ._solvers.quantum.polynomials import InversePolynomial as InversePolynomial
from ._solvers.quantum.polynomials import PhaseFactors as PhaseFactors
from ._solvers.quantum.polynomials import apply as apply
from ._solvers.quantum.polynomials import apply_pseudo_inverse as apply_pseudo_inverse
from ._solvers.quantum.polynomials import certificate as certificate
from ._solvers.quantum.polynomials import inverse_degree as inverse_degree
from ._solvers.quantum.polynomials import projector_phases as projector_phases
from ._solvers.quantum.polynomials import real_phases as real_phases
from ._solvers.quantum.polynomials import response as response
from ._solvers.quantum.polynomials import symmetric_phases as symmetric_phases

__all__ = [
    "InversePolynomial",
    "PhaseFactors",
    "apply",
    "apply_pseudo_inverse",
    "certificate",
    "inverse_degree",
    "projector_phases",
    "real_phases",
    "response",
    "symmetric_phases",
]
