"""Quantum machines."""

import equinox as eqx


class QuantumMachine(eqx.Module):
    """A quantum computer, as far as the published model knows one.

    Attributes:
        gate_time_s: seconds that one query is charged under the assumption set `paper`. Q-Newton sweeps it down to
            attoseconds (1e-18), which no machine offers; superconducting gates take about 50e-9.
    """

    gate_time_s: float = eqx.field(static=True, default=50e-9)

    def __check_init__(self):
        if not 0 < self.gate_time_s < float("inf"):
            raise ValueError(f"gate_time_s is {self.gate_time_s}: it must be a positive number of seconds, e.g. 1e-9")
