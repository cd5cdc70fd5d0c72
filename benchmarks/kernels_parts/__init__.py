"""Parts of `benchmarks/kernels.py`: one file per kernel, and how they are timed."""
