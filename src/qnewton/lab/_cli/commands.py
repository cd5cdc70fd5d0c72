"""The commands, each loaded when it is first asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .breakeven import breakeven as breakeven
    from .calibrate import calibrate as calibrate
    from .circuit import circuit as circuit
    from .compare import compare as compare
    from .completion import completion as completion
    from .explain import explain as explain
    from .explore import explore as explore
    from .noise import noise as noise
    from .parts import parts as parts
    from .plan import plan as plan
    from .replay import replay as replay
    from .report import report as report
    from .reproduce import reproduce as reproduce
    from .schedule import schedule as schedule
    from .spectrum import spectrum as spectrum
    from .tradeoff import tradeoff as tradeoff
    from .train import train as train
    from .worker import worker as worker
else:
    from ..._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
