"""The command `qnewton`, also as `python -m qnewton`. The extra `lab` brings it; without that, one sentence says so."""

import sys

from ._core.extras import MissingExtraError


def main() -> int:
    """Run the command line on the arguments of the process, and return its exit status."""
    try:
        from .lab._cli import main as command_line
    except MissingExtraError as error:
        print(f"qnewton: {error}", file=sys.stderr)
        return 2
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
