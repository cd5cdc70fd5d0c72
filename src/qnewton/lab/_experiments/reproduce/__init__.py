"""Evaluations of the Q-Newton paper (arXiv 2405.00252): the trainings of each, and the derived numbers.

Nothing is imported here: the command line needs the options alone to parse.
"""
