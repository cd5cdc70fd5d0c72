"""Synthetic run directories that follow docs/run-files.md."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GATE_TIMES = (1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 5e-8)
CANDIDATES = {"paper": ("QLSA(jennings2023v1)",), "end_to_end": ("QLSA(dalzell2024)", "QLSA(jennings2023v1)")}
OVERHEAD = {"paper": 1.0, "end_to_end": 3e6}  # queries of a set, relative to the paper's
KERNELS = {"Cholesky": 0.4, "LU": 0.8}
NUMBERS = (
    *("degree", "max_entry", "frobenius_norm", "spectral_norm"),
    *("smallest_singular_value", "condition_number", "definite"),
)
ACCESS = tuple(f"{what}_{unit}" for what in ("product", "forming", "gram") for unit in ("flops", "bytes"))
LAYERS = ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "layers.2.weight", "layers.2.bias")
SIZES = (640, 10, 320, 32, 100, 10)

RunFiles = dict[str, Any]
MakeRun = Callable[..., RunFiles]
WriteRun = Callable[[RunFiles], Path]


def classical_seconds(name: str, n: int) -> float:
    return 2e-6 + KERNELS[name] * 1e-10 * n**3 / 3 + 2e-9 * n**2


def queries(candidate: str, n: int, degree: int, kappa: float) -> float:
    factor = 0.6 if "dalzell" in candidate else 1.0
    return factor * degree * kappa * math.log(n * kappa * 1e4)


def assumption(name: str, n: int, degree: int, kappa: float, definite: bool, gate_time_s: float) -> RunFiles:
    classical = {kernel: classical_seconds(kernel, n) for kernel in KERNELS if definite or kernel != "Cholesky"}
    fastest = min(classical.values())
    counted = {candidate: OVERHEAD[name] * queries(candidate, n, degree, kappa) for candidate in CANDIDATES[name]}
    predicted: dict[str, float | None] = {kernel: classical.get(kernel) for kernel in KERNELS}
    predicted |= {candidate: count * gate_time_s for candidate, count in counted.items()}
    choice = min((key for key, value in predicted.items() if value is not None), key=lambda key: predicted[key] or 0.0)
    return {
        "choice": choice,
        "machine": "classical" if choice in KERNELS else "quantum",
        "verdict": "chosen",
        "worker": None,
        "predicted_seconds": predicted,
        "refused": {} if definite else {"Cholesky": "needs a positive definite matrix"},
        "queries": counted,
        "copies": dict.fromkeys(counted, 1.0),
        "clamped": dict.fromkeys(counted, False),
        "success_probability": dict.fromkeys(counted, 1.0),
        "break_even_gate_time_s": {candidate: fastest / count for candidate, count in counted.items()},
        "predicted_quantum_seconds_by_gate_time": {
            candidate: [[time, count * time] for time in GATE_TIMES] for candidate, count in counted.items()
        },
    }


def solve_seconds(entry: RunFiles) -> dict[str, float]:
    key = "solve_classical" if entry["machine"] == "classical" else "solve_quantum"
    return {key: entry["predicted_seconds"][entry["choice"]]}


def system(step: int, index: int, name: str, n: int, steps: int, rng: random.Random, gate_time_s: float) -> RunFiles:
    progress = step / max(1, steps - 1)
    log_kappa = 2.0 + 0.35 * index + 2.2 * progress + 0.25 * math.sin(0.4 * step + index) + rng.gauss(0, 0.08)
    kappa = 10.0**log_kappa
    degree = max(1, round(0.25 * n))
    definite = rng.random() < 0.9
    status = "ok" if rng.random() < 0.97 else "indefinite"
    sets = {key: assumption(key, n, degree, kappa, definite, gate_time_s) for key in CANDIDATES}
    chosen = sets["paper"]
    quantum = chosen["machine"] == "quantum"
    return {
        "step": step,
        "block": index,
        "name": name,
        "n": n,
        "status": status,
        "curvature_path": "layers",
        "independence": "proven",
        "iterations": 0,
        "expected_iterations": {},
        "damping_scale": 1.0,
        "reduction_ratio": None,
        "damping": 5e-3 * (1 + rng.random()),
        "kept_fraction": 0.25,
        "perturbation": 0.02 + 0.01 * rng.random(),
        "degree": degree,
        "max_entry": 1.2,
        "frobenius_norm": 8.0,
        "spectral_norm": 3.0,
        "condition_number": kappa,
        "log10_condition_number": log_kappa,
        "log_condition_number": log_kappa * math.log(10),
        "second_log10_condition_number": None,
        "second_condition_number_kind": None,
        "condition_number_kind": "exact" if n < 50 else "certified" if n < 500 else "estimate",
        "kinds": dict.fromkeys(NUMBERS, "exact"),
        "failure_probability": 0.0,
        "matvecs": 0,
        "definite": definite,
        "presumed_definite": definite,
        "formed": True,
        "access": dict.fromkeys(ACCESS, 0.0) | {"gram_rows": 0},
        "timed": {},
        "probe_seconds": None,
        "relative_residual": 10 ** rng.uniform(-15, -12),
        "exact_residual": 0.04,
        "acting": "paper",
        "solver": chosen["choice"],
        "ran": "LU" if quantum else chosen["choice"],
        "execution": "modelled" if quantum else None,
        "executed_queries": None,
        "executed_success_probability": None,
        "executed_outcome": None,
        "assumptions": sets,
    }


def training_step(step: int, steps: int, systems: list[RunFiles], rng: random.Random) -> RunFiles:
    progress = step / max(1, steps - 1)
    loss = 2.3 * math.exp(-4 * progress) + 0.02
    evaluated = step % max(1, steps // 30) == 0 or step == steps - 1
    stages = {"gradient": 8e-4, "curvature": 6e-3, "conditioning": 9e-4, "estimation": 2.5e-3}
    predicted = {}
    for key in CANDIDATES:
        solves = [solve_seconds(entry["assumptions"][key]) for entry in systems]
        row = {
            **stages,
            "solve_classical": math.fsum(solve.get("solve_classical", 0.0) for solve in solves),
            "solve_quantum": math.fsum(solve.get("solve_quantum", 0.0) for solve in solves),
        }
        predicted[key] = {**row, "total": math.fsum(row.values())}
    return {
        "step": step,
        "epoch": step * 0.2,
        "loss": loss * (1 + 0.15 * rng.random()),
        "train_loss": loss if evaluated else None,
        "test_loss": loss * 1.1 + 0.03 if evaluated else None,
        "test_accuracy": 1 - 0.9 * math.exp(-4.5 * progress) - 0.03 if evaluated else None,
        "learning_rate": 1.0,
        "damping_scale": 1.0,
        "reduction_ratio": 0.9,
        "accepted": rng.random() > 0.05,
        "statuses": {"ok": len(systems)},
        "measured_seconds": 0.021 + 0.004 * rng.random(),
        "measured_evaluation_seconds": 0.006 if evaluated else 0.0,
        "predicted_seconds": predicted,
        "predicted_schedule": {},
        "systems": len(systems),
    }


def summarise(steps: list[RunFiles], systems: list[RunFiles], gate_time_s: float) -> RunFiles:
    acting = [entry["assumptions"]["paper"] for entry in systems]
    totals = {key: math.fsum(step["predicted_seconds"][key]["total"] for step in steps) for key in CANDIDATES}
    stages = ("gradient", "curvature", "conditioning", "estimation")
    around = math.fsum(step["predicted_seconds"]["paper"][stage] for step in steps for stage in stages)
    fastest = [
        min(value for key, value in entry["predicted_seconds"].items() if key in KERNELS and value is not None)
        for entry in acting
    ]
    sweep = []
    for position, time in enumerate(GATE_TIMES):
        quantum = [
            min(rows[position][1] for rows in entry["predicted_quantum_seconds_by_gate_time"].values())
            for entry in acting
        ]
        pairs = list(zip(quantum, fastest, strict=True))
        share = sum(fast < slow for fast, slow in pairs) / max(1, len(pairs))
        solves = math.fsum(map(min, pairs))
        sweep.append(
            {
                "gate_time_s": time,
                "quantum_share": share,
                "predicted_seconds": around + solves,
                "predicted_solve_seconds": solves,
            }
        )
    last = steps[-1] if steps else {"train_loss": None, "test_accuracy": None, "test_loss": None}
    measured = math.fsum(step["measured_seconds"] for step in steps)
    evaluations = math.fsum(step["measured_evaluation_seconds"] for step in steps)
    names = [entry["solver"] for entry in systems]
    statuses = [entry["status"] for entry in systems]
    return {
        "schema_version": 9,
        "task": "digits-mlp",
        "preset": "paper",
        "optimizer": "newton",
        "status": "finished",
        "steps": len(steps),
        "final_loss": last["train_loss"],
        "test_accuracy": last["test_accuracy"],
        "test_loss": last["test_loss"],
        "measured_seconds": measured + evaluations,
        "measured_breakdown": {
            "steps": measured,
            "evaluations": evaluations,
            "compilation": 14.2,
            "calibration": 3.1,
        },
        "predicted_seconds": totals,
        "predicted_seconds_all_classical": around + math.fsum(fastest),
        "acting": "paper",
        "gate_time_s": gate_time_s,
        "quantum_share": sum(entry["machine"] == "quantum" for entry in acting) / max(1, len(acting)),
        "by_gate_time": sweep,
        "solved_by": {name: names.count(name) for name in sorted(set(names))},
        "execution": "modelled",
        "statuses": {name: statuses.count(name) for name in sorted(set(statuses))},
    }


def build(steps: int = 40, blocks: int = 6, gate_time_s: float = 1e-12, seed: int = 0) -> RunFiles:
    """The contents of a run: `config`, `steps`, `blocks`, `summary`. Change them before writing."""
    rng = random.Random(seed)
    names = [LAYERS[i] if blocks <= 6 else f"encoder.layers.{i}.attention.kernel" for i in range(blocks)]
    sizes = [SIZES[i % len(SIZES)] for i in range(blocks)]
    systems = [
        system(step, index, names[index], sizes[index], steps, rng, gate_time_s)
        for step in range(steps)
        for index in range(blocks)
    ]
    rows = [training_step(step, steps, systems[step * blocks : (step + 1) * blocks], rng) for step in range(steps)]
    config = {
        "schema_version": 9,
        "task": "digits-mlp",
        "preset": "paper",
        "optimizer": "newton",
        "options": {
            "steps": steps,
            "optimizer": {"damping": 5e-3, "keep": 0.25},
            "hardware": {"gate_time_s": gate_time_s},
        },
        "seed": seed,
        "started": "2025-11-21T06:12:00Z",
        "versions": {"python": "3.11.7", "qnewton": "0.1.0", "jax": "0.10.0"},
        "machine": {"platform": "Linux", "processor": "x86_64", "cores": 2, "backend": "cpu", "device": "cpu:0"},
        "commit": "0123abc",
        "model": {
            "description": "MLP 64-32-16-10, tanh",
            "parameters": 2778,
            "blocks": [{"name": name, "n": n} for name, n in zip(names, sizes, strict=True)],
        },
        "data": {"description": "digits of scikit-learn", "train": 1437, "test": 360, "batch": 1437},
    }
    return {"config": config, "steps": rows, "blocks": systems, "summary": summarise(rows, systems, gate_time_s)}


def write(directory: Path, files: RunFiles) -> Path:
    """Writes `files`; an entry that is None or absent is not written."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("config", "summary"):
        if files.get(name) is not None:
            (directory / f"{name}.json").write_text(json.dumps(files[name], allow_nan=False))
    for name in ("steps", "blocks"):
        if files.get(name) is not None:
            lines = "".join(json.dumps(line, allow_nan=False) + "\n" for line in files[name])
            (directory / f"{name}.jsonl").write_text(lines)
    return directory


@pytest.fixture(scope="session")
def make_run() -> MakeRun:
    return build


@pytest.fixture(scope="session")
def write_run_to() -> Callable[[Path, RunFiles], Path]:
    return write


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    return lambda files: write(tmp_path / "run", files)
