"""Parts of `benchmarks/time_to_target.py`: problems, contestants, the race and its record."""
