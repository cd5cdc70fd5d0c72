"""Energy of a row: the power of its machine times its seconds."""

import dataclasses
from collections.abc import Sequence

from .._hardware import QuantumMachine
from .classical import ClassicalHost
from .table import Row


def with_energy(
    rows: Sequence[Row], machines: Sequence[tuple[str, QuantumMachine]], hosts: Sequence[ClassicalHost]
) -> list[Row]:
    """Return the rows with their joules, where the profile of the machine states a power.

    Args:
        rows: of a table.
        machines: its quantum machines by name. Their power counts the row's qubits: physical ones where errors are
            corrected; else logical ones, which makes the energy a lower bound.
        hosts: its classical machines, at full load for all seconds.
    """
    quantum = {name: machine.profile for name, machine in machines}
    classical = {host.name: None if host.profile is None else host.profile.power_w for host in hosts}

    def joules(row: Row) -> float | None:
        if row.kind == "classical":
            watts = classical.get(row.hardware)
        else:
            profile = quantum.get(row.hardware)
            watts = None if profile is None or row.qubits is None else profile.watts(row.qubits)
        return None if watts is None or row.seconds is None else watts * row.seconds

    return [dataclasses.replace(row, joules=joules(row)) for row in rows]
