"""`qnewton completion SHELL`."""

import contextlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

_DISPATCH = """
_qnewton() {{
  local command="${{COMP_WORDS[1]}}"
  if [[ $COMP_CWORD -le 1 ]]; then
    COMPREPLY=($(compgen -W "{names}" -- "$command"))
  elif declare -F "_tyro_qnewton_$command" > /dev/null; then
    COMP_WORDS=("qnewton $command" "${{COMP_WORDS[@]:2}}")
    COMP_CWORD=$((COMP_CWORD - 1))
    "_tyro_qnewton_$command"
  fi
}}
complete -o default -F _qnewton qnewton
"""


@dataclass(frozen=True)
class CompletionCommand:
    """Print a script that lets a shell complete commands and options, for its start-up file."""

    shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]
    """Whose script."""


def completion(arguments: Sequence[str], commands: Mapping[str, Callable[[Sequence[str]], int]]) -> int:
    """Parse, and print the scripts of all commands, and one that chooses among them.

    Args:
        arguments: of the command.
        commands: the others.

    Returns:
        The exit status.
    """
    command = tyro.cli(CompletionCommand, prog="qnewton completion", args=arguments)
    scripts = [_script_of(one) for one in commands.values()]
    # zsh runs scripts of bash.
    before = "autoload -U +X bashcompinit && bashcompinit\n" if command.shell == "zsh" else ""
    print(before + "\n".join(scripts) + _DISPATCH.format(names=" ".join([*commands, "completion"])), end="")
    return 0


def _script_of(command: Callable[[Sequence[str]], int]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        command(["--tyro-print-completion", "bash"])
    # Each would register itself for the word `qnewton`.
    return re.sub(r"(?m)^( *)complete .*$", r"\1:", printed.getvalue())
