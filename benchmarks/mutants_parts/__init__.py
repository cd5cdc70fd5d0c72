"""Parts of `mutants.py`."""
