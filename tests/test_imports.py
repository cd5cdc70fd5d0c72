"""The import rule of CONTRIBUTING.md, and what `import qnewton` must leave alone."""

import gc
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import qnewton
from qnewton._core.on_demand import on_demand
from qnewton._moved import MOVED
from qnewton._moved_modules import STILL_THERE

CHECKOUT = Path(__file__).parent.parent


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[path.stem] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


structure = load(CHECKOUT / "benchmarks" / "structure.py")
MODULES = structure.read(CHECKOUT)
FOLDERS = {module.folder for module in MODULES.values()}
OPTIM = structure.OPTIM


def violations(source: str, module: str) -> list[str]:
    """Of the import rule; `module` ends in `.__init__` where the file does."""
    name = module.removesuffix(".__init__")
    return structure.uphill(structure.Module(name, source, is_folder=name != module), FOLDERS)


def test_every_folder_has_a_rule() -> None:
    assert set(structure.MAY_IMPORT) == FOLDERS


def test_every_file_imports_only_from_its_left() -> None:
    found = {name: structure.uphill(module, FOLDERS) for name, module in MODULES.items()}
    assert {name: names for name, names in found.items() if names} == {}


def test_no_modules_import_each_other() -> None:
    assert structure.cycles(MODULES) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("qnewton._core.records", "from ..curvature import Block"),
        ("qnewton._core.records", "from qnewton._curvature.partition import Block"),
        ("qnewton._core.records", "import qnewton._curvature"),
        ("qnewton._core.records", "from .. import curvature"),
        ("qnewton._core.__init__", "from ..curvature import Block"),
        ("qnewton._core.records", "def f():\n    from ..optim import newton"),
        ("qnewton._core.records", "import importlib\nimportlib.import_module('qnewton._optim')"),
        ("qnewton._curvature.hessian", "from ..conditioning.base import condition"),
        ("qnewton._solvers.quantum.qlsa", "from ...hardware import QuantumMachine"),
        ("qnewton._hardware.quantum", "from ..solvers.base import AbstractSolver"),
        ("qnewton._pricing.table", "from ..scheduling import Hybrid"),
        ("qnewton._scheduling.plan", "from ..optim import newton"),
        ("qnewton._optim.newton", "from ..experiments.ledger import Ledger"),
        ("qnewton.lab._experiments.runner", "from ..report import write"),
        ("qnewton.lab._report.derive", "from ..solvers import LU"),
        ("qnewton.lab._runfile.run", "from ..core.suggest import unknown"),
        ("qnewton.lab._explore.bundle", "from ..experiments import catalogue"),
        ("qnewton.testing.oracles", "from ..scheduling import Hybrid"),
        ("qnewton._curvature.hessian", "from .. import newton"),
        ("qnewton.__init__", "from .experiments import TrainOptions"),
        ("qnewton.__init__", "from . import report"),
    ],
)
def test_the_rule_sees_a_violation(module: str, line: str) -> None:
    assert len(violations(line, module)) == 1


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("qnewton._core.trees", "from .records import System"),
        ("qnewton._curvature.hessian", "from ..core.records import System"),
        ("qnewton._curvature.__init__", "from .hessian import Hessian"),
        ("qnewton._solvers.quantum.qlsa", "from ..base import AbstractSolver"),
        ("qnewton.lab._cli.main", "from ..report import write"),
        ("qnewton._core.trees", "import jax, qnewton_other"),
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
    assert fresh_import["lazy"] == ["qnewton._core", "qnewton._core.on_demand", "qnewton._moved_modules"]
    assert {"newton", "queries"} <= set(dir(qnewton))
    assert qnewton.__version__
    with pytest.raises(AttributeError, match="module 'qnewton' has no attribute 'nothing'"):
        getattr(qnewton, "nothing")  # noqa: B009


def test_importing_loads_neither_experiments_nor_report_nor_testing(fresh_import: dict) -> None:
    assert {name.split(".")[1].removeprefix("_") for name in fresh_import["ours"]} == (
        # Systems are conditioned, estimated, priced and solved once there is a family; a scheduler needs a machine.
        OPTIM - {"conditioning", "estimation", "hardware", "pricing", "scheduling", "solvers", "workers"}
        | {"moved_modules"}
    )


@pytest.mark.parametrize(
    "part",
    [
        "_solvers.quantum.emulated",
        "_solvers.quantum.circuit",
        "_optim.kfac",
        "_optim.step_rules",
        "_curvature.point",
        "_curvature.independence",
        "_api",
    ],
)
def test_newton_leaves_alone_what_it_may_never_need(fresh_import: dict, part: str) -> None:
    assert [name for name in fresh_import["ours"] if name.startswith(f"qnewton.{part}.")] == []
    assert f"qnewton.{part}" not in fresh_import["ours"]


ON_DEMAND = [name for name, module in MODULES.items() if module.is_folder and "on_demand(__name__)" in module.text]


@pytest.mark.parametrize("folder", ["qnewton", *ON_DEMAND])
def test_every_name_that_a_folder_offers_is_there(folder: str) -> None:
    found = importlib.import_module(folder)
    assert len(set(found.__all__)) == len(found.__all__)
    assert set(found.__all__) <= set(dir(found))
    for name in found.__all__:
        assert getattr(found, name) is not None


@pytest.mark.parametrize("folder", ON_DEMAND)
def test_no_name_on_demand_is_that_of_a_module_of_its_folder(folder: str) -> None:
    """Importing `folder.name` would put the module in the name's place."""
    assert len(ON_DEMAND) > 5
    assert [name for name in importlib.import_module(folder).__all__ if f"{folder}.{name}" in MODULES] == []


def test_star_imports_give_the_public_api() -> None:
    names: dict[str, object] = {}
    exec("from qnewton import *", names)
    assert names.keys() - {"__builtins__"} == set(vars(qnewton)["__all__"])
    assert names["newton"] is qnewton.newton


@pytest.mark.parametrize("running", [True, False])
def test_loading_a_name_leaves_the_garbage_collector_as_it_was(running: bool) -> None:
    before = gc.isenabled()
    load, _, names = on_demand("qnewton", "qnewton._api")
    try:
        (gc.enable if running else gc.disable)()
        load(names[0])
        assert gc.isenabled() is running
    finally:
        (gc.enable if before else gc.disable)()


def test_a_list_of_names_without_source_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = importlib.util.find_spec("qnewton._api").loader  # pyright: ignore[reportOptionalMemberAccess]
    monkeypatch.setattr(type(loader), "get_source", lambda self, name: None)
    with pytest.raises(ImportError, match=r"the names of qnewton\._api are read from its source, which is not there"):
        on_demand("qnewton", "qnewton._api")


def test_the_explicit_list_is_what_can_be_loaded() -> None:
    _, _, listed = on_demand("qnewton", "qnewton._api")
    assert sorted(vars(qnewton)["__all__"]) == listed


def test_private_modules_begin_with_an_underscore() -> None:
    public = {name for name in MODULES if not any(part.startswith("_") for part in name.split(".")[1:])}
    inside = {name for name in public if name.startswith("qnewton.testing.")}
    assert public - inside - {"qnewton", "qnewton.lab"} == {
        f"qnewton.{name}" for name in qnewton.__all__ if isinstance(getattr(qnewton, name), ModuleType)
    }


@pytest.mark.parametrize("name", sorted(MOVED))
def test_a_flat_name_that_moved_still_serves_and_says_where_it_is(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"qnewton\.{name} is qnewton\.{MOVED[name]}\.{name} now") as caught:
        found = getattr(qnewton, name)
    assert found is getattr(getattr(qnewton, MOVED[name]), name)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("qnewton.core", "qnewton._core"),
        ("qnewton.core.records", "qnewton._core.records"),
        ("qnewton.curvature.coupling", "qnewton._curvature.coupling"),
        ("qnewton.solvers.quantum.queries.hhl", "qnewton._solvers.quantum.queries.hhl"),
        ("qnewton.scheduling.hybrid", "qnewton._scheduling.hybrid"),
        ("qnewton.scheduling.policies.base", "qnewton._pricing.policies.base"),
        ("qnewton.planning.table", "qnewton._pricing.table"),
        ("qnewton.experiments.data.idx", "qnewton.lab._experiments.data.idx"),
    ],
)
@pytest.mark.filterwarnings("ignore:.* is private now:DeprecationWarning")  # of the folders around it
def test_a_module_that_is_private_now_serves_by_its_old_path_and_says_so(old: str, new: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=rf"{re.escape(old)} is private now, as {re.escape(new)},"):
        found = importlib.import_module(old)
    assert found is importlib.import_module(new)


@pytest.mark.parametrize("name", ["qnewton.core.nothing", "qnewton.curvature.nothing", "qnewton.nothing.records"])
@pytest.mark.filterwarnings("ignore:.* is private now:DeprecationWarning")
def test_a_module_that_never_was_is_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named"):
        importlib.import_module(name)


def test_a_namespace_is_no_old_path(recwarn: pytest.WarningsRecorder) -> None:
    for name in STILL_THERE:
        assert importlib.import_module(f"qnewton.{name}").__name__ == f"qnewton.{name}"
    assert not recwarn
