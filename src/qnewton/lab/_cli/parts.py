"""The command `qnewton parts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from ..._core.suggest import unknown
from .._experiments.parts import catalogue, described
from .answers import print_json


@dataclass(frozen=True)
class PartsCommand:
    """The words that options take, what each stands for, and its parameters with their defaults.

    An option takes a word, or a word with parameters: --solvers lu 'cg(rtol=1e-5, preconditioner=kfac)'.
    """

    kind: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[KIND]")] = None
    """What is listed: solver, preconditioner, estimator, policy, curvature, conditioner or another kind. None: the
    kinds, with their words."""
    json: bool = False
    """Print one JSON object, and nothing else: of each kind its words, with text and parameters."""


def parts(arguments: Sequence[str]) -> int:
    """Parse, and print the words of a kind."""
    command = tyro.cli(PartsCommand, prog="qnewton parts", args=arguments)
    if command.kind is not None and command.kind not in catalogue():
        raise ValueError(unknown("kind", command.kind, catalogue()))
    if command.json:
        print_json({kind: own for kind, own in catalogue().items() if command.kind in (None, kind)})
    elif command.kind is None:
        for kind, own in catalogue().items():
            print(f"{kind}: {', '.join(own)}")
    else:
        print("\n".join(described(command.kind)))
    return 0
