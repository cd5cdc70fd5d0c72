"""The core alone, installed as a user installs it: how many packages that brings, and whether the library works there.

A virtual environment in a temporary folder gets the locked packages of the core by their hashes, then `pip install`
of this checkout, which should bring nothing more. There README's library example is run. The last line of the output is
one JSON object.

    .venv/bin/python benchmarks/bare_install.py [--python python3.13] [--newest]

The tests ask the same of links to the packages at hand, which takes no network (`tests/test_installs.py`).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
TOOLS = {"pip", "setuptools", "wheel"}
"""What an environment has from the start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that makes the environment")
    parser.add_argument("--newest", action="store_true", help="the newest versions that resolve, not the locked ones")
    options = parser.parse_args()
    page = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    example = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([options.python, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet"]
        before = time.perf_counter()
        if not options.newest:
            lock = str(CHECKOUT / "requirements" / "core.txt")
            subprocess.run([*install, "--require-hashes", "--requirement", lock], check=True)
        subprocess.run([*install, str(CHECKOUT)], check=True)
        seconds = time.perf_counter() - before
        found = json.loads(subprocess.run([python, "-c", PACKAGES], capture_output=True, text=True, check=True).stdout)
        ran = subprocess.run([python, "-c", example], capture_output=True, text=True, cwd=folder)
        command = subprocess.run([str(Path(folder) / "bin" / "qnewton"), "plan"], capture_output=True, text=True)
    packages = {name: version for name, version in sorted(found.items()) if name not in {*TOOLS, "qnewton"}}
    print(ran.stdout, ran.stderr, command.stdout, command.stderr, sep="\n")
    print(
        json.dumps(
            {
                "packages": len(packages),
                "versions": packages,
                "install_seconds": round(seconds, 1),
                "example_runs": ran.returncode == 0,
                "command": command.stderr.strip().splitlines()[-1:],
            }
        )
    )


if __name__ == "__main__":
    main()
