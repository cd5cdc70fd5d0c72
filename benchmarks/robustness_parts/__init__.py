"""Parts of `robustness.py`."""
