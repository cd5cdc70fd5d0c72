"""Error messages for unknown names, with the nearest valid one."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, valid: Iterable[str]) -> str:
    """Return the message `unknown task 'digit-mlp': did you mean 'digits-mlp'? Valid: ...`."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.4)
    hint = f": did you mean {near[0]!r}?" if near else "."
    return f"unknown {what} {name!r}{hint} Valid: {', '.join(valid)}"
