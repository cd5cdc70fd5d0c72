"""Watches the system calls of a training that saves checkpoints, and tells what a power failure could take.

Orbax writes a checkpoint's arrays in threads of its own, whose calls no shim in Python sees. `strace` sees all: which
file was written since it was last synced, which name since its folder was, and what is removed when.

    unsynced      files and names of a checkpoint that were not on disk when its `about.json`, which makes it count, was
                  given its name
    fewest_whole  checkpoints that counted, at least, whenever something of one was removed

Prints one JSON object, and exits with status 1 where anything was not synced, or fewer than two whole ones were left.

    .venv/bin/python benchmarks/checkpoint_trace.py [--steps 8]
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CALLS = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,rename,renameat,renameat2,"
CALLS += "unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,fsync,fdatasync"
TRAIN = (sys.executable, "-c", "import sys; from qnewton.lab._cli import main; sys.exit(main())", "train")
TASK = ("digits-mlp", "--preset", "kfac", "--batch-size", "64", "--evaluate-every", "100", "--checkpoint-every", "1")
ABOUT = "about.json"
Call = tuple[str, str]
"""The name of a system call that succeeded, and its arguments as strace has them."""


def calls(trace: Path) -> Iterator[Call]:
    """Return those of all threads, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        rest = rest.lstrip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            rest = begun.pop(thread, "") + resumed[1]
        if found := re.match(r"(\w+)\((.*)\)\s+= (?!-1|\?)", rest):
            yield found[1], found[2]


class Disk:
    """What is not on disk yet of the files and names below a folder."""

    def __init__(self, root: Path):
        self.root = str(root)
        self.written: set[str] = set()
        self.named: set[str] = set()
        self.whole: set[int] = set()
        self.checked = 0
        self.unsynced: list[str] = []
        self.fewest_whole: int | None = None
        self.counts: collections.Counter[str] = collections.Counter()

    def see(self, name: str, arguments: str) -> None:
        """Take up a call."""
        opened = [path for path in re.findall(r"\d+<([^>]*)>", arguments) if path.startswith(self.root)]
        quoted = self._quoted(arguments)
        if name in ("fsync", "fdatasync"):
            for path in opened:
                self.counts[name] += 1
                self.written.discard(path)
                self.named -= {one for one in self.named if one.rpartition("/")[0] == path}
        elif "write" in name or name == "ftruncate":
            self.written.update(opened)
        elif name.startswith("open") or name == "creat":
            if "O_CREAT" in arguments or name == "creat":
                self.written.update(quoted)
                self.named.update(quoted)
        elif name.startswith(("mkdir", "link")):
            self.named.update(quoted[-1:])
        elif name.startswith("rename") and len(quoted) == 2:
            self._renamed(*quoted)
        elif name.startswith(("unlink", "rmdir")):
            for path in quoted:
                self._removed(path)

    def _quoted(self, arguments: str) -> list[str]:
        """The paths in the arguments, below the root; each whole, also where it begins at an open folder."""
        found = []
        for folder, path in re.findall(r'(?:(?:AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"([^"]*)"', arguments):
            whole = path if path.startswith("/") else f"{folder}/{path}"
            if match := re.match(r"/proc/self/fd/\d+(.*)", whole):
                whole = self.root + match[1]
            if whole.startswith(self.root):
                found.append(whole)
        return found

    def _renamed(self, old: str, new: str) -> None:
        self.counts["rename"] += 1
        for names in (self.written, self.named):
            for one in [one for one in names if one == old or one.startswith(f"{old}/")]:
                names.discard(one)
                names.add(new + one.removeprefix(old))
        folder = new.rpartition("/")[0]
        if new.endswith(f"/{ABOUT}"):
            inside = [one for one in self.written | self.named if one.startswith(f"{folder}/") or one == folder]
            # The name of `about.json` itself is synced next, before the line about the checkpoint.
            self.unsynced += sorted(one.removeprefix(f"{self.root}/") for one in inside if one != new)
            self.unsynced += [f"{ABOUT} itself"] if new in self.written else []
            self.checked += 1
            self.whole.add(int(folder.rpartition("/")[2]))
        self.named.add(new)

    def _removed(self, path: str) -> None:
        self.written.discard(path)
        self.named.discard(path)
        found = re.match(rf"{re.escape(self.root)}/checkpoints/(\d+)(?:/|$)", path)
        if found and int(found[1]) in self.whole:
            self.whole.discard(int(found[1]))
            self.counts["checkpoints removed"] += 1
            left = len(self.whole)
            self.fewest_whole = left if self.fewest_whole is None else min(left, self.fewest_whole)


def main() -> int:
    """Parse, trace, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qnewton-trace-") as folder:
        run, trace = Path(folder).resolve() / "run", Path(folder) / "trace"
        strace = ("strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace))
        done = subprocess.run(
            (*strace, *TRAIN, *TASK, "--steps", str(options.steps), "--out", str(run)), capture_output=True, text=True
        )
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
        disk, seen = Disk(run), 0
        for name, arguments in calls(trace):
            seen += 1
            disk.see(name, arguments)
    record: dict[str, Any] = {"steps": options.steps, "calls": seen, "checkpoints": disk.checked, **disk.counts}
    record |= {"unsynced": disk.unsynced, "fewest_whole": disk.fewest_whole}
    print(json.dumps(record))
    return int(bool(disk.unsynced) or disk.checked < options.steps or (disk.fewest_whole or 0) < 2)


if __name__ == "__main__":
    sys.exit(main())
