"""What `benchmarks/estimation.py` is made of."""
