"""What holds for all systems of a complete optimizer's training."""

import msgspec

from .base import Record


class FamilyRecord(Record, frozen=True):
    """The family of systems that a complete optimizer's steps solve, and facts that hold for all of them.

    Attributes:
        name: `kfac`, `dual`, `fisher` or `blocks`.
        because: why it was chosen; empty where `--family` or `--optimizer` names it.
        acting: the assumption set whose choices are carried out; null where the systems are not priced.
        gate_time_s: of the quantum machine that the modelled seconds are of; likewise.
        relative_error: what a step bears of every solve, in the energy norm (of `dual`, in that of the step); likewise.
        layers: of `kfac`, kind of layer to the share of all parameters that is in such layers.
        outside: likewise, reason why parameters are in no layer to their share.
    """

    name: str
    because: str
    acting: str | None
    gate_time_s: float | None
    relative_error: float | None
    layers: dict[str, float] = msgspec.field(default_factory=dict)
    outside: dict[str, float] = msgspec.field(default_factory=dict)
