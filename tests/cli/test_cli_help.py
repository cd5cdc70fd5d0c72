"""Help explains every option, and comes quickly."""

import ast
import dataclasses
import inspect
import math
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qnewton.__main__ import main as entry
from qnewton.lab._cli.main import COMMANDS, USAGE
from qnewton.lab._experiments import options
from qnewton.lab._experiments.options import TrainOptions
from qnewton.lab._experiments.presets import PRESETS
from qnewton.lab._experiments.task_options import TASKS

SHIPPED = tuple(TASKS)


def documented() -> dict[str, str]:
    """Option to the docstring under its field, read from the source; groups have none of their own."""
    found = {}
    for node in ast.parse(inspect.getsource(options)).body:
        if isinstance(node, ast.ClassDef):
            for field, text in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    assert isinstance(field.target, ast.Name)
                    assert isinstance(text.value, ast.Constant)
                    found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def fields(cls: type) -> list[str]:
    names = []
    for field in dataclasses.fields(cls):
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        names += fields(type(default)) if dataclasses.is_dataclass(default) else [field.name]
    return names


def letters(text: str) -> str:
    """Only what survives wrapping and boxes."""
    return re.sub(r"[^0-9A-Za-z().,:;+]", "", text)


@pytest.fixture
def train_help(call) -> str:
    outcome = call("train", "--help", "all")
    assert outcome.status == 0
    assert outcome.err == ""
    return outcome.out


def test_every_option_is_in_the_help_with_its_explanation(train_help):
    texts = documented()
    said = letters(train_help)
    names = fields(TrainOptions)
    assert len(names) > 15
    assert set(names) <= set(texts), "an option without a docstring has no help"
    for name in names:
        assert re.search(rf"--(no-)?{name.replace('_', '-')}\b", train_help), name
        assert letters(texts[name]) in said, name


def test_the_help_names_the_command_the_task_and_the_choices(train_help):
    for word in (
        "qnewton train",
        "What to train: the name of a task",
        "gauss-newton",
        "prune-rows",
        "inverse-lanczos",
    ):
        assert word in train_help
    assert all(preset in train_help for preset in PRESETS)


def test_the_short_help_names_every_task(call):
    said = "".join(call("train", "--help").said.split())
    assert all(task in said for task in SHIPPED)


@pytest.mark.parametrize(("preset", "steps"), [(name, preset.training.steps) for name, preset in PRESETS.items()])
def test_the_help_of_a_preset_shows_its_values(preset, steps, call):
    said = call("train", "--preset", preset, "--help", "training").said
    assert f"Training steps. (default: {steps})" in said
    assert f"--steps {steps} " in call("train", "--preset", preset, "--help").said


TWO_SCREENS = 90


def height(text: str) -> int:
    """Lines of 100 columns that a terminal shows."""
    return sum(max(1, math.ceil(len(line.rstrip()) / 100)) for line in text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_fits_on_two_screens(command, call):
    outcome = call(command, "--help")
    assert outcome.status == 0
    assert height(outcome.out) <= TWO_SCREENS


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_a_group_is_explained_by_itself_and_every_option_has_its_line(command, call):
    whole, short = (call(command, "--help", *word).out for word in (["all"], []))
    options = set(re.findall(r"^│ --(?:no-)?([a-z][\w.-]*)", whole, flags=re.MULTILINE))
    shown = set(re.findall(r"^  --(?:\[no-\])?([a-z][\w.-]*)", short, flags=re.MULTILINE))
    groups = re.findall(r"^([a-z-]+): ", short, flags=re.MULTILINE)[1:]
    assert len(groups) >= 4
    # Those of the command itself stand in the text.
    assert options - shown <= {"resume", "out", "replot", "figures", "json"}
    for group in groups:
        out = call(command, "--help", group).out
        assert height(out) <= TWO_SCREENS
        assert f"{group} options" in out.replace("_", "-")


@pytest.mark.parametrize("arguments", [["-h"], ["--help"]], ids=str)
def test_the_top_level_help_names_the_commands(arguments, call):
    outcome = call(*arguments)
    assert outcome.status == 0
    assert "qnewton train TASK" in outcome.out
    assert "qnewton report RUN" in outcome.out


def test_no_command_is_a_mistake_that_is_answered_with_the_usage(call):
    outcome = call()
    assert outcome.status == 2
    assert "usage: qnewton train" in outcome.said


def test_the_report_command_has_help(call):
    outcome = call("report", "--help")
    assert outcome.status == 0
    assert "Directory of the run" in outcome.out


def test_the_console_script_is_this_main(monkeypatch, capsys):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pkgutil.resolve_name(project["scripts"]["qnewton"]) is entry
    monkeypatch.setattr(sys, "argv", ["qnewton", "--help"])
    assert entry() == 0
    assert capsys.readouterr().out == USAGE


def test_help_and_mistakes_load_neither_data_nor_figures():
    # A second and more, which nobody should wait for only to be told of a typing error.
    program = (
        "import sys\n"
        "from qnewton.lab._cli import main\n"
        "for arguments in (['parts', 'policy'], ['replay', '.', '--policy', 'x('], ['train', '--help'],\n"
        "                  ['train', 'digits-mlp', '--stpes', '2']):\n"
        "    try:\n"
        "        main(arguments)\n"
        "    except SystemExit:\n"
        "        pass\n"
        "names = ('jax', 'equinox', 'sklearn', 'matplotlib', 'scipy', 'matfree')\n"
        "heavy = [name for name in names if name in sys.modules]\n"
        "print('HEAVY', *heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "usage: qnewton train" in done.stdout
    loaded = done.stdout.strip().splitlines()[-1].split()
    assert loaded[0] == "HEAVY", done.stderr
    assert loaded == ["HEAVY"]


def test_the_version_is_that_of_the_project(call):
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))["project"]
    outcome = call("--version")
    assert (outcome.status, outcome.out, outcome.err) == (0, f"qnewton {project['version']}\n", "")


def test_a_shell_completes_commands_and_their_options(tmp_path: Path) -> None:
    """By a script that the shell itself runs, as it does when a key is pressed."""
    script = tmp_path / "qnewton.bash"
    with script.open("w", encoding="utf-8") as file:
        subprocess.run([sys.executable, "-m", "qnewton", "completion", "bash"], stdout=file, check=True)

    def completed(*words: str) -> list[str]:
        pressed = (
            f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _qnewton; printf '%s\\n' ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", f"source {script}; {pressed}"], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("qnewton", "tra") == ["train", "tradeoff"]
    assert completed("qnewton", "plan", "--kap") == ["--kappa"]
    assert completed("qnewton", "train", "digits-mlp", "--ste") == ["--steps"]
    assert completed("qnewton", "nothing", "--ste") == []
