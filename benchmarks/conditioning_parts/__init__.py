"""What benchmarks/conditioning.py is made of."""
