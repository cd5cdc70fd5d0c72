"""The polynomial that inverts a matrix by singular value transformation, and the phases of its circuit."""

from .heavy_ball import apply as apply
from .heavy_ball import apply_pseudo_inverse as apply_pseudo_inverse
from .inverse import InversePolynomial as InversePolynomial
from .inverse import inverse_degree as inverse_degree
from .phases import PhaseFactors as PhaseFactors
from .phases import projector_phases as projector_phases
from .phases import real_phases as real_phases
from .phases import symmetric_phases as symmetric_phases
from .rotations import certificate as certificate
from .rotations import response as response
