"""Report: one self-contained HTML page from the files of a run, without any solver."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .breakeven_figure import write_maps as write_maps
    from .breakeven_figure import write_tornado as write_tornado
    from .comparison import comparison_notes as comparison_notes
    from .comparison import comparison_sections as comparison_sections
    from .comparison import comparison_tables as comparison_tables
    from .comparison import write_comparison as write_comparison
    from .explaining import explain as explain
    from .explanation import Bought as Bought
    from .explanation import Candidate as Candidate
    from .explanation import Explanation as Explanation
    from .noise_figure import write_noise_figure as write_noise_figure
    from .reproduce_page import write_reproduction as write_reproduction
    from .spectrum_figure import write_spectrum_figure as write_spectrum_figure
    from .tradeoff_figure import write_tradeoff_figure as write_tradeoff_figure
    from .write import write_report as write_report
else:
    from ..._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
