"""The command `qnewton`, also `python -m qnewton`.

It needs the extra `lab`; without the extra, one sentence says so.
"""

import os
import sys

from ._core.extras import MissingExtraError


def main() -> int:
    """Run the command line on the arguments of the process, and return its exit status."""
    try:
        from .lab._cli import main as command_line
        from .lab._cli.streams import open_to_all
    except MissingExtraError as error:
        print(f"qnewton: {error}", file=sys.stderr)
        return 2
    open_to_all()
    _keep_what_is_compiled()
    return command_line()


def _keep_what_is_compiled() -> None:
    """Keep compiled programs in the user's cache for the next command.

    JAX reads the setting when it is imported; a value that the user has set stays.
    """
    from platformdirs import user_cache_path

    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(user_cache_path("qnewton", appauthor=False) / "compiled"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


if __name__ == "__main__":
    sys.exit(main())
