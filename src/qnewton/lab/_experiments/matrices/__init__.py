"""Matrices in files: read strictly, and their numbers for a plan."""
