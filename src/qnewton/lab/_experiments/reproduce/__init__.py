"""The evaluations of the Q-Newton paper (arXiv 2405.00252): what each one runs, and the numbers that follow.

Nothing is imported here: the command line needs the options alone to parse.
"""
