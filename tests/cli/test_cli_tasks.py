"""Every task from the command line, two steps at its smallest size; its options and what they refuse."""

import dataclasses
import json
import re

import pytest

from qnewton.lab._cli.train import parse
from qnewton.lab._experiments.task_options import TASKS, kind_of

TEXT = ["--vocabulary", "160", "--length", "8", "--sequences", "16"]
TRANSFORMER = ["--layers", "1", "--hidden", "8", "--heads", "2", "--intermediate", "8", *TEXT]
SMALL = {
    "digits28": ["--width", "2", "--depth", "1"],
    "autoencoder": ["--hidden", "3", "--code", "2"],
    "cnn": ["--channels", "1", "--stages", "1"],
    "bert-tiny": [*TRANSFORMER, "--embeddings", "frozen"],
    "gpt-tiny": [*TRANSFORMER, "--key-value-heads", "1", "--window", "3"],
    "poisson-pinn": ["--width", "4", "--interior", "12", "--boundary", "4"],
}
UNJUDGED = {"autoencoder", "poisson-pinn"}
LANGUAGE = {"bert-tiny", "gpt-tiny"}


@pytest.mark.parametrize(("task", "sizes"), SMALL.items(), ids=SMALL.keys())
def test_every_task_trains_and_leaves_its_report(task, sizes, call, tmp_path):
    outcome = call("train", task, *sizes, "--steps", "2", "--batch-size", "8", "--out", "run")
    assert outcome.status == 0, outcome.said
    config, summary = (json.loads((tmp_path / "run" / f"{name}.json").read_text()) for name in ("config", "summary"))
    # Nothing silent: what was taken is said while it starts, and recorded.
    assert f"data: {config['data']['description']}" in outcome.err
    assert config["task"] == task
    assert config["preset"] == kind_of(task).preset
    assert (summary["optimizer"] == "fisher_newton") == (task in LANGUAGE)
    assert config["options"]["task"].keys() == {field.name for field in dataclasses.fields(kind_of(task))}
    assert summary["steps"] == 2
    assert summary["test_loss"] > 0
    assert (summary["test_accuracy"] is None) == (task in UNJUDGED)
    assert ("test accuracy" in outcome.out) == (task not in UNJUDGED)
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert ('id="f-accuracy"' in page) == (task not in UNJUDGED)


@pytest.mark.parametrize(("task", "rate"), [("bert-tiny", 0.05), ("gpt-tiny", 0.1)])
def test_paper_is_the_empirical_fisher_matrix_of_each_tensor_on_a_language_model(task, rate):
    step = parse([task, "--preset", "paper"]).options.step
    assert (step.curvature, step.partition) == ("empirical-fisher(damping_floor=0)", "per-tensor")
    assert (step.learning_rate, step.largest) == (rate, "published")


@pytest.mark.parametrize("task", TASKS)
def test_the_help_of_a_task_has_its_sizes_and_their_defaults(task, call):
    said = call("train", task, "--help", "all").said
    options = kind_of(task)()
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, int):
            assert re.search(rf"--{field.name.replace('_', '-')} INT .*?\(default: {value}\)", said), field.name
    assert f"(default: {options.preset})" in said


BAD = {
    "no data": (["mnist-mlp"], ["mnist-mlp needs MNIST", "--data FOLDER", "digits28"]),
    "no folder": (["mnist-mlp", "--data", "nowhere"], ["--data is nowhere: it must be a folder", "t10k-labels"]),
    "empty folder": (["cnn", "--data", "."], ["lacks train-images-idx3-ubyte (training images)", "plain or .gz"]),
    "no text": (["gpt-tiny", "--data", "nowhere.txt"], ["--data is nowhere.txt: there is no such file"]),
    "two sources": (["bert-tiny", "--data", "a", "--hub", "b"], ["--data is a and --hub is b", "omit one"]),
    "width 0": (["digits28", "--width", "0"], ["--width is 0", "at least 1"]),
    "hidden 0": (["autoencoder", "--hidden", "8", "0"], ["--hidden holds 0", "at least 1"]),
    "heads": (["bert-tiny", "--hidden", "10"], ["--hidden is 10", "multiple of --heads, 4"]),
    "shared": (["gpt-tiny", "--key-value-heads", "3"], ["--heads is 4", "multiple of --key-value-heads, 3"]),
    "odd": (["gpt-tiny", "--hidden", "12"], ["--hidden is 12", "must be even"]),
    "frozen": (
        ["bert-tiny", "--vocabulary", "100", "--hidden", "128", "--embeddings", "frozen"],
        ["--hidden is 128 and --vocabulary 100", "eigenvectors"],
    ),
    "vocabulary": (["gpt-tiny", "--vocabulary", "20"], ["--vocabulary is 20", "smaller than required_chars"]),
    "length": (["gpt-tiny", "--length", "1"], ["--length is 1", "at least 2"]),
    "points": (["poisson-pinn", "--interior", "0"], ["--interior is 0", "at least 4"]),
    "option of another task": (["digits28", "--channels", "4"], ["--channels"]),
    "behind an option": (
        ["--preset", "blocks", "--decay", "cnn"],
        ["the task cnn stands behind an option", "qnewton train cnn"],
    ),
    "nearest": (["gpt-tyni"], ["unknown task 'gpt-tyni'", "did you mean 'gpt-tiny'"]),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_and_leaves_nothing(arguments, words, call, tmp_path):
    outcome = call("train", *arguments, "--out", "run")
    assert outcome.status == 2
    for word in words:
        assert word in outcome.said, outcome.said
    assert "Traceback" not in outcome.said
    assert not (tmp_path / "run").exists(), "a run that cannot start leaves no directory"
