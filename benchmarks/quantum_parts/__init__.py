"""The parts of benchmarks/quantum.py."""
