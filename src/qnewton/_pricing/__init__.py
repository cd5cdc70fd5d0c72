"""Charges of quantum solves, and tables, verdicts and break-even points derived from them, without solving."""
