"""Which tests run which lines, and how long each takes: made once and kept, a file of tests at a time."""

import difflib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutants_parts.running import ROOT, run

SOURCE = "src/qnewton"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Map:
    """The tests of some files, with the lines of some packages that each runs.

    A test that finds a program or a table made, by a test of its file that ran before it, runs none of the lines that
    made it. So `covering` names the tests that run a line, and the later ones of the same files.
    """

    def __init__(self, kept: Path, packages: tuple[str, ...]):
        """Takes the folder to keep the map in, and the packages whose lines count."""
        self._kept, self._packages = kept, packages
        self._files: dict[str, dict[str, Any]] = {}
        self._moved: dict[tuple[str, str], dict[int, int]] = {}
        (kept / "sources").mkdir(parents=True, exist_ok=True)

    def make(self, copied: Path, files: list[str], say: Callable[[str], None]) -> None:
        """Reads what is kept of each file of tests, and runs those that are not kept, or were changed since."""
        for file in files:
            digest = _digest((ROOT / file).read_text(encoding="utf-8"))
            kept = self._kept / f"{file.replace('/', '+')}.json"
            found = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            if found.get("digest") != digest or not set(self._packages) <= set(found["packages"]):
                found = self._made(copied, file) | {"digest": digest, "packages": self._packages}
                kept.write_text(json.dumps(found), encoding="utf-8")
                seconds = sum(found["tests"].values())
                say(f"{file}: {len(found['tests'])} tests, {seconds:.1f} s, left out: {found['out']}")
            self._files[file] = found

    def _made(self, copied: Path, file: str) -> dict[str, Any]:
        lines = copied / "lines.json"
        lines.unlink(missing_ok=True)
        ends, _ = run(copied, [file], None, 1800, to_the_end=True, traced=lambda: _trace(copied, self._packages, lines))
        traced = json.loads(lines.read_text(encoding="utf-8")) if lines.exists() else {}
        sources = {}
        for source in traced:
            text = (copied / source).read_text(encoding="utf-8")
            sources[source] = _digest(text)
            (self._kept / "sources" / sources[source]).write_text(text, encoding="utf-8")
        return {
            "tests": {end["test"]: end["seconds"] for end in ends if end["outcome"] == "passed"},
            "out": [end["test"] for end in ends if end["outcome"] == "failed"],
            "lines": traced,
            "sources": sources,
        }

    def _line_then(self, source: str, digest: str, line: int) -> int:
        """The number that a line of today had in the source that was traced; 0 for none."""
        if (source, digest) not in self._moved:
            before = (self._kept / "sources" / digest).read_text(encoding="utf-8").splitlines()
            now = (ROOT / source).read_text(encoding="utf-8").splitlines()
            blocks = difflib.SequenceMatcher(None, before, now, autojunk=False).get_matching_blocks()
            self._moved[source, digest] = {b + k + 1: a + k + 1 for a, b, size in blocks for k in range(size)}
        return self._moved[source, digest].get(line, 0)

    def covering(self, source: str, span: tuple[int, int]) -> tuple[dict[str, float], dict[str, float]]:
        """The tests that run one of some lines, and those after them in their files, with the seconds of each.

        Files whose tests take least come first. What runs a line when it is imported does not count.

        Args:
            source: relative to the checkout.
            span: the first line, and the last.
        """
        found: list[tuple[dict[str, float], dict[str, float]]] = []
        for kept in self._files.values():
            if source not in kept["sources"]:
                continue
            digest, names = kept["sources"][source], set()
            for line in range(span[0], span[1] + 1):
                names |= set(kept["lines"][source].get(str(self._line_then(source, digest, line)), ()))
            tests = list(kept["tests"].items())
            direct = {name: seconds for name, seconds in tests if name in names}
            if direct:
                first = list(kept["tests"]).index(next(iter(direct)))
                found.append((direct, {name: seconds for name, seconds in tests[first:] if name not in direct}))
        found.sort(key=lambda pair: sum(pair[0].values()))
        direct = {name: seconds for pair in found for name, seconds in pair[0].items()}
        return direct, {name: seconds for pair in found for name, seconds in pair[1].items()}


def _trace(copied: Path, packages: tuple[str, ...], out: Path) -> tuple[Callable[[str], None], Callable[[], None]]:
    import coverage

    folders = [str(copied / SOURCE / f"_{package}") for package in packages]
    tracer = coverage.Coverage(data_file=None, config_file=False, include=[f"{folder}/*" for folder in folders])
    tracer.start()

    def ended() -> None:
        tracer.stop()
        data = tracer.get_data()
        found = {}
        for file in data.measured_files():
            lines = {line: sorted(set(names)) for line, names in data.contexts_by_lineno(file).items()}
            found[str(Path(file).relative_to(copied))] = lines
        out.write_text(json.dumps(found), encoding="utf-8")

    return tracer.switch_context, ended
