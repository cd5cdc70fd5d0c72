"""`qnewton compare`: optimizers at equal tuning effort, on one task."""

from .answer import compare_records
from .methods import METHODS, check_methods
from .run import Comparison, open_comparison, run_comparison

__all__ = [
    "METHODS",
    "Comparison",
    "check_methods",
    "compare_records",
    "open_comparison",
    "run_comparison",
]
