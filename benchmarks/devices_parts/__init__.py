"""What `benchmarks/devices.py` runs in its processes."""
