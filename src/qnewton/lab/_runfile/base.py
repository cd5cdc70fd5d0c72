"""Base of all records."""

import msgspec

SCHEMA_VERSION = 9
"""Of a run directory. A change of a record of it takes the next number, and `migrate` gets a line. A field that is
added with a default does not: what is written without it is read as if it had that."""
COMPARE_VERSION, NOISE_VERSION, REPRODUCTION_VERSION = 1, 1, 2
SPECTRUM_VERSION, TRADEOFF_VERSION, BREAKEVEN_VERSION = 1, 1, 1
"""Of the files of these commands, which are not migrated."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of records: one JSON object, every field of which is always written.

    A number that is not finite is written as null, and read as None.
    """
