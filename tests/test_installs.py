"""The core alone: few packages, and the library works with them; what needs an extra says which.

The bare environment is a folder of links to the packages that the core's requirements lead to, with an interpreter that
sees nothing else. `benchmarks/bare_install.py` asks the same of a real one, installed from an index.
"""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from qnewton._core.extras import MissingExtraError, optional, require_extra

CHECKOUT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MOST = 16


def closure(requirements: list[str]) -> set[str]:
    """All distributions that requirements lead to, by what is installed here."""
    found: set[str] = set()
    ahead = [Requirement(text) for text in requirements]
    while ahead:
        one = ahead.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not any(one.marker.evaluate({"extra": e}) for e in one.extras or {""})):
            continue
        found.add(name)
        further = [Requirement(text) for text in distribution(name).requires or []]
        ahead += [r for r in further if not r.marker or any(r.marker.evaluate({"extra": e}) for e in {"", *one.extras})]
    return found


CORE = closure(PROJECT["dependencies"])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`bare(arguments)` runs Python with the core and what it needs, and nothing else."""
    site = tmp_path_factory.mktemp("site")
    for name in CORE:
        found = distribution(name)
        tops = {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    (site / "qnewton").symlink_to(CHECKOUT / "src" / "qnewton")
    metadata = [f"Name: {PROJECT['name']}", f"Version: {PROJECT['version']}"]
    metadata += [f"Requires-Dist: {text}" for text in PROJECT["dependencies"]]
    for extra, texts in PROJECT["optional-dependencies"].items():
        metadata += [f'Requires-Dist: {text}; extra == "{extra}"' for text in texts]
    (site / "qnewton-0.dist-info").mkdir()
    (site / "qnewton-0.dist-info" / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", *metadata, ""]))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        start = f"import sys; sys.path.append({str(site)!r}); sys.argv = {['qnewton', *arguments[1:]]!r}\n"
        command = [sys.executable, "-I", "-S", "-c", start + arguments[0]]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=site)

    return run


def test_the_core_needs_few_packages(bare: Any) -> None:
    done = bare("from importlib.metadata import distributions; print(*sorted(d.name for d in distributions()))")
    assert done.returncode == 0, done.stderr
    assert {canonicalize_name(name) for name in done.stdout.split()} == {"qnewton", *CORE}
    assert len(CORE) <= MOST, CORE


def test_the_library_example_runs_with_the_core_alone(bare: Any) -> None:
    # README's example, and more.
    page = (CHECKOUT / "docs" / "library.md").read_text(encoding="utf-8")
    blocks = [token.content for token in MarkdownIt().parse(page) if token.type == "fence" and token.info == "python"]
    done = bare("\n".join(blocks) + "\nassert info.family == 'dual' and state.info.systems")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 4


def test_plans_need_the_core_alone(bare: Any) -> None:
    done = bare(
        "import qnewton as qn\n"
        "found = qn.plan(4096, [10.0, 300.0], sparsity=40, assumptions='paper')\n"
        "assert len(found.verdicts) == 2 and qn.breakeven(4096, 300.0, vary=['n']).singles\n"
        "found.to_pandas()"
    )
    assert done.returncode == 1
    assert "to_pandas needs pandas, which is not installed: pip install pandas" in done.stderr


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (
            "from qnewton.__main__ import main; sys.exit(main())",
            "qnewton: qnewton.lab, the command line included, needs ",
        ),
        ("import qnewton.lab._report", "qnewton.lab, the command line included, needs "),
    ],
)
def test_without_the_lab_one_sentence_names_the_extra(bare: Any, program: str, sentence: str) -> None:
    done = bare(program, "plan", "--n", "4")
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()[-1:]
    lab = "|".join(Requirement(text).name for text in PROJECT["optional-dependencies"]["lab"])
    pattern = rf"{re.escape(sentence)}({lab}), which is not installed: pip install 'qnewton\[lab\]'"
    assert re.search(pattern + "$", line), done.stderr
    assert ("Traceback" in done.stderr) is ("main()" not in program)


def test_circuits_without_their_extra_name_it(bare: Any) -> None:
    done = bare(
        "import jax.numpy as jnp, lineax as lx, qnewton as qn\n"
        "matrix = lx.MatrixLinearOperator(jnp.eye(2), lx.positive_semidefinite_tag)\n"
        "lx.linear_solve(matrix, jnp.ones(2), solver=qn.CircuitQSVT(precision=0.1))"
    )
    assert done.returncode == 1
    assert "which is not installed: pip install 'qnewton[circuits]'" in done.stderr


def test_every_requirement_of_another_extra_that_uses_the_lab_brings_it() -> None:
    extras = PROJECT["optional-dependencies"]
    for name in ("bench", "docs", "examples", "hub", "test"):
        assert "qnewton[lab]" in extras[name], name


def locked(name: str) -> dict[str, str]:
    """Distribution to version, by a lock whose every line is a comment or a pin with its hashes, for some platform."""
    text = (CHECKOUT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            pin = re.fullmatch(r"([a-z0-9-]+)==(\S+)(?: ; [^#]+?)?(?: +--hash=sha256:[0-9a-f]{64})+ *", line)
            assert pin, f"{name}: {line[:80]}"
            assert found.setdefault(pin[1], pin[2]) == pin[2], f"{name}: two versions of {pin[1]}"
    return found


@pytest.mark.parametrize(("name", "extra"), [("core", None), ("lab", "lab"), ("test", "test")])
def test_a_lock_holds_with_hashes_all_that_the_project_asks_for(name: str, extra: str | None) -> None:
    pins = locked(name)
    asked = PROJECT["dependencies"] + ([f"qnewton[{extra}]"] if extra else [])
    ahead = [Requirement(text) for text in asked]
    while ahead:
        one = ahead.pop()
        if one.name == "qnewton":
            ahead += [Requirement(text) for e in one.extras for text in PROJECT["optional-dependencies"][e]]
            continue
        assert one.specifier.contains(pins.get(canonicalize_name(one.name), "0")), f"make lock: {name}.txt lacks {one}"
    assert pins.items() <= locked("test").items()


def test_the_lock_of_the_core_is_the_core() -> None:
    """What the installed packages' own metadata lead to, on this platform."""
    assert set(locked("core")) >= CORE
    assert len(locked("core")) <= MOST


def test_the_lock_of_the_build_backend_agrees_with_that_of_the_tests() -> None:
    build, test = locked("build"), locked("test")
    assert {"hatchling", "editables"} <= set(build)
    assert all(test.get(name, version) == version for name, version in build.items())
    assert {"uv", "cyclonedx-bom"} <= set(locked("tools"))


def test_what_fails_inside_an_optional_package_is_not_taken_for_its_absence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "has_a_broken_import.py").write_text("import is_nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'is_nowhere'") as caught:
        optional("has_a_broken_import", "lab", "a test needs it")
    assert not isinstance(caught.value, MissingExtraError)
    with pytest.raises(
        MissingExtraError, match=r"a test needs it, which is not installed: pip install 'qnewton\[lab\]'"
    ):
        optional("is_nowhere.at_all", "lab", "a test needs it")


def test_an_extra_that_is_there_is_not_refused() -> None:
    require_extra("lab", "a test")
