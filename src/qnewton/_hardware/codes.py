"""Error-correcting codes: error, clock and size of a patch as functions of its distance."""

import equinox as eqx


class ErrorCorrectionCode(eqx.Module):
    """A topological code in the model of Beverland et al., arXiv 2211.07629.

    A logical qubit of distance `d` fails in one logical cycle with probability `prefactor (p / threshold)^((d+1)/2)`
    at a physical error rate `p`. The formula is a fit to simulations at small distances and is extrapolated.

    Attributes:
        name: in profile files.
        threshold: physical error rate above which correction does not help.
        prefactor: of the logical error rate.
        two_qubit_steps, measurement_steps: two-qubit gates and measurements one after the other in a round of
            syndrome extraction; `d` rounds make a logical cycle.
        patch: physical qubits of a logical one, as the coefficients of `d^2`, `d` and 1.
        one_qubit_steps: one-qubit gates one after the other in a round.
        extra_measurements: in a logical cycle, besides those of its rounds.
        moving: whether one ancilla visits the checks of a row in turn, `d + 1` of them in a round.
    """

    name: str = eqx.field(static=True)
    threshold: float = eqx.field(static=True)
    prefactor: float = eqx.field(static=True)
    two_qubit_steps: float = eqx.field(static=True)
    measurement_steps: float = eqx.field(static=True)
    patch: tuple[float, float, float] = eqx.field(static=True)
    one_qubit_steps: float = eqx.field(static=True, default=0)
    extra_measurements: float = eqx.field(static=True, default=0)
    moving: bool = eqx.field(static=True, default=False)

    def logical_error_rate(self, physical_error_rate: float, distance):
        """Probability that a logical qubit fails in one logical cycle."""
        return self.prefactor * (physical_error_rate / self.threshold) ** ((distance + 1) / 2)

    def patch_qubits(self, distance):
        """Physical qubits of a logical qubit."""
        square, linear, constant = self.patch
        return (square * distance + linear) * distance + constant


# Constants of the published estimators; where each comes from: profiles/methodology.md.
SURFACE = ErrorCorrectionCode("surface", 0.01, 0.03, 4, 2, (2, 0, 0))
SURFACE_BY_MEASUREMENT = ErrorCorrectionCode("surface-by-measurement", 0.0015, 0.08, 0, 20, (2, 0, 0))
FLOQUET = ErrorCorrectionCode("floquet", 0.01, 0.07, 0, 3, (4, 8, -8))
ROTATED_SURFACE = ErrorCorrectionCode("rotated-surface", 0.01, 0.03, 4, 1, (2, 0, -1), one_qubit_steps=1)
MOVING_SURFACE = ErrorCorrectionCode("moving-surface", 0.01, 0.03, 0, 2, (2, 0, -1), moving=True)
THREE_AUXILIARY = ErrorCorrectionCode("three-auxiliary", 0.0066, 0.05, 0, 4, (4, 0, -3), extra_measurements=4)

CODES = {
    code.name: code
    for code in (SURFACE, SURFACE_BY_MEASUREMENT, FLOQUET, ROTATED_SURFACE, MOVING_SURFACE, THREE_AUXILIARY)
}
