"""Entry point of the command line: selection of the command, and its exit status."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

from ..._core.suggest import unknown
from .._experiments.exits import BAD_INPUT, LOST, UNREAD, exit_status
from .._experiments.interrupts import raised
from .._experiments.own_task import raised_there
from .._runfile import LostDirectory, unverified
from . import commands
from .streams import showing


def _command(name: str) -> Callable[[Sequence[str]], int]:
    def run(arguments: Sequence[str]) -> int:
        return getattr(commands, name)(arguments)

    return run


_NAMES = (
    *("train", "compare", "report", "explain", "replay", "spectrum", "tradeoff", "noise", "reproduce"),
    *("plan", "breakeven", "explore", "calibrate", "circuit", "parts", "worker", "schedule"),
)
COMMANDS = {name: _command(name) for name in _NAMES}
"""All of them, from their arguments to the exit status."""


def _completion(arguments: Sequence[str]) -> int:
    return commands.completion(arguments, {name: COMMANDS[name] for name in _NAMES})


COMMANDS["completion"] = _completion
UNVERIFIED = "--unverified"
USAGE = """usage: qnewton train TASK [options]   train a task, or your own (my_task.py:task), with Newton's method
       qnewton compare TASK           optimizers at equal tuning effort, against measured and modelled seconds
       qnewton report RUN             write the report of a run directory again
       qnewton explain RUN --step K   why each block of a step went to whom
       qnewton replay RUN             its decisions under other hardware, assumptions and policies
       qnewton spectrum RUN|FILE      eigenvalues, condition number and degree of each block
       qnewton tradeoff TASK          step quality and loss against sparsity and encoded condition number
       qnewton noise TASK             learning curves against the errors and shots of quantum solves
       qnewton reproduce NAME|all     the paper's evaluations, under its assumptions and end to end
       qnewton plan [RUN|FILE]        what a system would cost, quantum and classical
       qnewton breakeven [RUN|FILE]   what would have to change for both to be equally fast
       qnewton explore [RUN|FILE]     a page on which anyone can move the numbers and see who wins
       qnewton calibrate              measure this machine once, for predictions
       qnewton circuit [FILE]         draw, count and export the circuit that inverts a matrix
       qnewton worker --qpu PROFILE   a quantum worker for the trainings of a cluster (--workers ray:ADDRESS)
       qnewton schedule [TRACE ...]   policies that deal blocks out to machines with queues, simulated
       qnewton parts [KIND]           the solvers, estimators, policies ... that options name, with their parameters
       qnewton completion bash|zsh    a script by which the shell completes all of these and their options

With --unverified, what reads a run goes on where a file of it was altered, and says so.
`qnewton train --help` explains every option; `qnewton --version` says which version this is.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments after the program's name; None takes `sys.argv`.

    Returns:
        The exit status: 0 done; 1 the training failed; 2 bad input; 3 the run's directory was removed or changed while
        it went on; 128 and the number of the signal that stopped it, of Ctrl-C 130; 141 the reader of the output is
        gone.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with showing(arguments):
        return _ended(arguments)


def _ended(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"qnewton {version('qnewton')}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        return _fail(unknown("command", command, COMMANDS))
    try:
        with raised(), _as_it_is(rest) as own:
            status = COMMANDS[command](own)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What else is flushed at the end goes nowhere, and needs no word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD
    except LostDirectory as error:
        print(f"qnewton: {error}", file=sys.stderr)
        return LOST
    except (ValueError, OSError, MemoryError) as error:
        if raised_there(error):
            raise
        return _fail(str(error))
    except KeyboardInterrupt as error:
        # Before the first step or after the last: the training itself turns a signal into an interrupted run.
        print("qnewton: interrupted", file=sys.stderr)
        return exit_status(error)


@contextlib.contextmanager
def _as_it_is(arguments: Sequence[str]) -> Iterator[Sequence[str]]:
    """Take `--unverified` out of the arguments, and say of altered files that they were read."""
    if UNVERIFIED not in arguments:
        yield arguments
        return
    with unverified() as found:
        yield [argument for argument in arguments if argument != UNVERIFIED]
    for what in found:
        print(f"not verified: {what}", file=sys.stderr if "--json" in arguments else sys.stdout)


def _fail(message: str) -> int:
    print(f"qnewton: {message}", file=sys.stderr)
    return BAD_INPUT
