"""Synthetic run directories, those that the report's tests draw."""

from ..report.conftest import make_run, write_run, write_run_to

__all__ = ["make_run", "write_run", "write_run_to"]
