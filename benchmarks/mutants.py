"""What share of small mistakes in the source the tests find: a seeded sample of mutants of each package.

    .venv/bin/python benchmarks/mutants.py [--sample 60] [--seed 1] [--packages estimation solvers scheduling pricing]
    .venv/bin/python benchmarks/mutants.py --only FILE:LINE     every mutant of a line (FILE: of a file)

    .venv/bin/python benchmarks/mutants.py --named [WORD]       those of `mutants_parts/named.json`

A mutant is the source with one change: a comparison or an arithmetic operator is another one, a number is doubled or
larger by 1, a function is swapped for its opposite (`maximum` and `minimum`, `any` and `all`), a `where` always takes
one branch, a condition always holds or never, a keyword is dropped, a `raise` is left out (`mutants_parts/changes.py`).

It runs against the tests that run its lines, from any folder of `--tests`, those of the cheapest file first; then
against the tests after them in the same files, which may use what those made; until one fails, or `--seconds` of
processor time would be exceeded by what the next took unchanged. Which tests run which lines is measured once, by
coverage.py (extra `dev`), and kept in `--map` with the compiled programs; files of tests that were changed are measured
again. Tests that fail unchanged are left out. A test that takes ten times its time and 20 s more than it took unchanged
is stopped, and counts as failed. So the score is a lower bound, but for mutants that change nothing: those of
`mutants_parts/equivalent.json` are named there with the reason, are not run, and are left out of the score.

Every tenth mutant's tests are also run on its file without the change, which none may kill (`controls_killed`).
Survivors are printed with the tests that ran. The last line of the output is one JSON object.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mutants_parts.changes import Mutant, mutants_of
from mutants_parts.covering import SOURCE, Map
from mutants_parts.running import ROOT, changed, copy_of_the_checkout, import_what_tests_need, run

PACKAGES = ("estimation", "solvers", "scheduling", "pricing")
TESTS = (*PACKAGES, "hardware", "docs/test_cost_model.py", "experiments/test_calibrations.py", "optim/test_spectra.py")
EQUIVALENT = Path(__file__).parent / "mutants_parts" / "equivalent.json"
_CONTROL = 10
NAMED = EQUIVALENT.with_name("named.json")


def name_of(mutant: Mutant) -> dict[str, Any]:
    """What tells a mutant from all others, and stays if lines move."""
    file = str(mutant.file.relative_to(ROOT / SOURCE))
    return {"file": file, "source": mutant.source, "column": mutant.column, "what": mutant.what}


def equivalents() -> dict[str, str]:
    """The mutants that change nothing, with the reasons."""
    listed = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return {json.dumps({**one, "why": ""}, sort_keys=True): one["why"] for one in listed}


def end_of(mutant: Mutant, covered: Map, copied: Path, seconds: float, *, control: bool = False) -> tuple[bool, str]:
    """Whether a mutant was killed, and by what; or by what it was not. The control is the file without the change."""
    file = mutant.file.relative_to(ROOT)
    direct, later = covered.covering(str(file), mutant.span)
    if not direct:
        return False, "no test runs it"
    chosen: dict[str, float] = {}
    for name, needed in (direct | later).items():
        if not chosen or sum(chosen.values()) + needed <= seconds:
            chosen[name] = needed
    with changed(copied / file, mutant.unchanged() if control else mutant.text()):
        files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
        ends, status = run(copied, files, chosen, 10 * seconds + 100)
    failed = [end["test"] for end in ends if end["outcome"] == "failed"]
    if failed:
        return True, failed[0]
    if status:
        last = ends[-1]["test"] if ends else "while the tests were imported"
        return True, f"status {status}: {last}"
    ran = sum(name in direct for name in chosen)
    return False, f"{ran} of {len(direct)} tests that run it, {len(chosen) - ran} of {len(later)} after them"


def files_of_tests(folders: Sequence[str]) -> list[str]:
    """Paths of the files of tests in some folders, relative to the checkout."""
    found = [
        path for one in folders for path in ([*(ROOT / "tests" / one).rglob("test_*.py")] or [ROOT / "tests" / one])
    ]
    return [str(path.relative_to(ROOT)) for path in sorted(found)]


def drawn(package: str, options: argparse.Namespace) -> tuple[list[Mutant], int]:
    """The mutants of a package to run, and how many it has."""
    every = [one for file in sorted((ROOT / SOURCE / f"_{package}").rglob("*.py")) for one in mutants_of(file)]
    if options.only is not None:
        file, _, line = options.only.partition(":")
        asked = (ROOT / file).resolve()
        return [one for one in every if one.file == asked and line in ("", str(one.line))], len(every)
    return random.Random(options.seed).sample(every, min(options.sample, len(every))), len(every)


def score_of(package: str, covered: Map, copied: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the mutants of a package, and counts."""
    mutants, number = drawn(package, options)
    known, survivors, equal, killed = equivalents(), [], 0, 0
    controls = [
        mutant for mutant in mutants[::_CONTROL] if end_of(mutant, covered, copied, options.seconds, control=True)[0]
    ]
    for place, mutant in enumerate(mutants):
        name = name_of(mutant)
        why = known.get(json.dumps({**name, "why": ""}, sort_keys=True))
        dead, reason = (False, why) if why is not None else end_of(mutant, covered, copied, options.seconds)
        equal, killed = equal + (why is not None), killed + dead
        if why is None and not dead:
            survivors.append({**name, "line": mutant.line, "ran": reason})
        said = "equivalent" if why is not None else "killed" if dead else "SURVIVED"
        where = f"{name['file']}:{mutant.line}:{mutant.column} {mutant.what} | {mutant.source}"
        print(f"{package} {place + 1}/{len(mutants)} {said} {where} | {reason}", flush=True)
    return {
        "mutants": number,
        "sample": len(mutants),
        "killed": killed,
        "equivalent": equal,
        "score": killed / max(1, len(mutants) - equal),
        "controls": len(mutants[::_CONTROL]),
        "controls_killed": len(controls),
        "survivors": survivors,
    }


def named(copied: Path, word: str) -> dict[str, Any]:
    """Runs the mutants listed by hand whose names hold the word, each against the tests listed with it."""
    survivors, mutants = [], [one for one in json.loads(NAMED.read_text(encoding="utf-8")) if word in one["name"]]
    for one in mutants:
        file = copied / SOURCE / one["file"]
        text = file.read_text(encoding="utf-8")
        if text.count(one["old"]) != 1:
            raise ValueError(f"{one['file']} has {one['old']!r} {text.count(one['old'])} times: correct {NAMED.name}")
        with changed(file, text.replace(one["old"], one["new"])):
            ends, _ = run(copied, [f"tests/{name}" for name in one["tests"]], None, 600)
        failed = [end["test"] for end in ends if end["outcome"] == "failed"]
        survivors += [] if failed else [one["name"]]
        print(f"{'killed' if failed else 'SURVIVED'} {one['name']} | {' '.join(failed)}", flush=True)
    return {"named": len(mutants), "killed": len(mutants) - len(survivors), "survivors": survivors}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60, help="mutants of each package")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time for the tests of one mutant")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, choices=PACKAGES)
    parser.add_argument("--tests", nargs="+", default=TESTS, help="folders and files of tests, relative to tests/")
    parser.add_argument("--only", metavar="FILE[:LINE]", help="every mutant of a file or line, instead of a sample")
    parser.add_argument("--named", nargs="?", const="", metavar="WORD", help="the mutants that are listed by hand")
    parser.add_argument("--map", type=Path, default=ROOT / "build" / "mutants", help="where the map is kept")
    options = parser.parse_args()
    kept = options.map.resolve()
    import_what_tests_need(kept / "programs")
    with copy_of_the_checkout() as copied:
        if options.named is not None:
            print(json.dumps({"benchmark": "mutants", **named(copied, options.named)}))
            return
        covered = Map(kept, PACKAGES)
        covered.make(copied, files_of_tests(options.tests), lambda line: print(line, flush=True))
        scores = {package: score_of(package, covered, copied, options) for package in options.packages}
    print(json.dumps({"benchmark": "mutants", "seed": options.seed, "seconds": options.seconds, "packages": scores}))


if __name__ == "__main__":
    main()
