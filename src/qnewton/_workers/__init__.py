"""Workers that solve blocks at once: who they are, who gets which block, and what happens where one fails."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import AbstractEngine as AbstractEngine
    from .engine import Colleague as Colleague
    from .engine import Lost as Lost
    from .engine import Reply as Reply
    from .service import QuantumService as QuantumService
    from .traces import Trace as Trace
    from .traces import TraceModel as TraceModel
    from .traces import read_trace as read_trace
    from .traces import write_trace as write_trace
    from .workers import Attempt as Attempt
    from .workers import Workers as Workers
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
