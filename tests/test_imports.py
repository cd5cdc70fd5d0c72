"""The import rule of CONTRIBUTING.md, and what `import qnewton` must leave alone."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qnewton

ROOT = Path(qnewton.__file__).parent

STAGES = {"core", "curvature", "conditioning", "estimation", "solvers", "hardware"}
PRICING = {"core", "solvers", "hardware", "pricing"}
SCHEDULING = STAGES | {"pricing", "scheduling"}
OPTIM = SCHEDULING | {"optim"}
EXPERIMENTS = OPTIM | {"experiments"}
MAY_IMPORT = {
    "core": {"core"},
    **{stage: {"core", stage} for stage in STAGES},
    "pricing": PRICING,
    "scheduling": SCHEDULING,
    "optim": OPTIM,
    "experiments": EXPERIMENTS,
    "report": {"core", "pricing", "report"},
    "cli": EXPERIMENTS | {"report", "cli"},
    "testing": STAGES | {"testing"},
    # The package's own __init__ and api: what the user gets by `import qnewton`.
    "qnewton": OPTIM | {"qnewton"},
}


def imported_modules(source: str, module: str) -> Iterator[str]:
    """The absolute names of all modules of ours that `module` imports, anywhere in its text.

    Also those inside functions and under `if TYPE_CHECKING`, and a string given to `importlib.import_module`. `module`
    ends in `.__init__` where the file does.
    """
    parents = module.split(".")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = parents[: -node.level] if node.level else []
            start = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # `from qnewton import curvature` names a folder; `from ..core.records import System` only adds a class.
            names = [f"{start}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            names = [ast.literal_eval(node.args[0])]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "qnewton")


def folder(module: str) -> str:
    """The folder under src/qnewton that a module is in; `qnewton` for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / parts[1]).is_dir() else "qnewton"


def violations(source: str, module: str) -> list[str]:
    allowed = MAY_IMPORT[folder(module)]
    return [name for name in imported_modules(source, module) if folder(name) not in allowed]


FILES = {
    ".".join(["qnewton", *path.relative_to(ROOT).with_suffix("").parts]): path for path in sorted(ROOT.rglob("*.py"))
}


def test_every_folder_has_a_rule() -> None:
    assert {folder(module) for module in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_only_from_its_left(module: str) -> None:
    assert violations(FILES[module].read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("qnewton.core.records", "from ..curvature import Block"),
        ("qnewton.core.records", "from qnewton.curvature.partition import Block"),
        ("qnewton.core.records", "import qnewton.curvature"),
        ("qnewton.core.records", "from .. import curvature"),
        ("qnewton.core.__init__", "from ..curvature import Block"),
        ("qnewton.core.records", "def f():\n    from ..optim import newton"),
        ("qnewton.core.records", "import importlib\nimportlib.import_module('qnewton.optim')"),
        ("qnewton.curvature.hessian", "from ..conditioning.base import condition"),
        ("qnewton.solvers.quantum.qlsa", "from ...hardware import QuantumMachine"),
        ("qnewton.hardware.quantum", "from ..solvers.base import AbstractSolver"),
        ("qnewton.pricing.table", "from ..scheduling import Hybrid"),
        ("qnewton.scheduling.plan", "from ..optim import newton"),
        ("qnewton.optim.newton", "from ..experiments.ledger import Ledger"),
        ("qnewton.experiments.runner", "from ..report import write"),
        ("qnewton.report.load", "from ..solvers import LU"),
        ("qnewton.testing.oracles", "from ..scheduling import Hybrid"),
        ("qnewton.curvature.hessian", "from .. import newton"),
        ("qnewton.__init__", "from .experiments import TrainOptions"),
        ("qnewton.__init__", "from . import report"),
    ],
)
def test_the_rule_sees_a_violation(module: str, line: str) -> None:
    assert len(violations(line, module)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("qnewton.core.trees", "from .records import System"),
        ("qnewton.curvature.hessian", "from ..core.records import System"),
        ("qnewton.curvature.__init__", "from .hessian import Hessian"),
        ("qnewton.solvers.quantum.qlsa", "from ..base import AbstractSolver"),
        ("qnewton.cli.main", "from ..report import write"),
        ("qnewton.core.trees", "import jax, qnewton_other"),
        ("qnewton.__init__", "from .curvature import Hessian"),
    ],
)
def test_the_rule_lets_the_rest_pass(module: str, line: str) -> None:
    assert violations(line, module) == []


@pytest.fixture(scope="module")
def fresh_import() -> dict:
    """What `import qnewton`, and then its first public name, do to a new interpreter."""
    script = """if True:
        import json, sys
        import jax
        before = dict(jax.config.values)
        import qnewton
        lazy = sorted(name for name in sys.modules if name.startswith("qnewton."))
        qnewton.newton
        after = dict(jax.config.values)
        changed = sorted(key for key in after if key not in before or before[key] != after[key])
        try:
            jax.config.update("jax_num_cpu_devices", 1)  # refused once a backend runs
            backend = False
        except RuntimeError:
            backend = True
        modules = sorted({name.partition(".")[0] for name in sys.modules})
        ours = sorted(name for name in sys.modules if name.startswith("qnewton."))
        print(json.dumps({"changed": changed, "x64": jax.config.jax_enable_x64, "backend": backend,
                          "modules": modules, "ours": ours, "lazy": lazy}))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_changes_no_configuration_of_jax(fresh_import: dict) -> None:
    # A flag that a dependency defines at import is new with its default value; only ours and jax's matter.
    assert fresh_import["changed"] == []
    assert fresh_import["x64"] is False


def test_importing_starts_no_backend(fresh_import: dict) -> None:
    """The user may still choose platforms and devices after `import qnewton`."""
    assert fresh_import["backend"] is False


@pytest.mark.parametrize("module", ["matplotlib", "sklearn", "rich", "tyro"])
def test_importing_leaves_slow_packages_for_later(fresh_import: dict, module: str) -> None:
    assert module not in fresh_import["modules"]


def test_names_are_loaded_when_asked_for(fresh_import: dict) -> None:
    """`qnewton plan` is done before all of them would be there."""
    assert fresh_import["lazy"] == []
    assert {"newton", "QUERY_MODELS", "__version__"} <= {*dir(qnewton), "__version__"}
    assert qnewton.__version__
    with pytest.raises(AttributeError, match="module 'qnewton' has no attribute 'nothing'"):
        getattr(qnewton, "nothing")  # noqa: B009


def test_importing_loads_neither_experiments_nor_report_nor_testing(fresh_import: dict) -> None:
    assert {name.split(".")[1] for name in fresh_import["ours"]} == OPTIM | {"api"}
