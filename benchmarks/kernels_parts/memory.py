"""Peak memory of a dense step, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LIMIT = 1.2


def memory(script: str, quick: bool, threads: int) -> list[dict[str, Any]]:
    """One child per curvature: what a process has held before is not given back to the system.

    The exact Hessian with LU, since `newton` refuses a Cholesky factorisation of what may be indefinite.
    """
    cases = []
    for curvature in ("hessian", "gauss_newton"):
        command = [sys.executable, script, "--child", curvature, "--threads", str(threads), *["--quick"] * quick]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        cases.append(json.loads(done.stdout.splitlines()[-1]))
    return cases


def child(name: str, quick: bool) -> dict[str, Any]:
    """Bytes of one step: what XLA planned, and what the process held at most above what it held before the step."""
    import jax

    import qnewton as qn

    from .formation import CURVATURES
    from .problems import dense

    problem = dense(quick)
    gradient = jax.grad(problem.objective)(problem.params, problem.batch)
    optimizer = qn.newton(
        problem.objective,
        curvature=CURVATURES[name],
        partition=qn.per_tensor,
        conditioning=(qn.Damp(5e-3),),
        solver=qn.LU() if name == "hessian" else qn.Cholesky(),
        adaptation=qn.Fixed(),
    )
    state = optimizer.init(problem.params)

    @jax.jit
    def step(gradient, state, params, batch):
        return optimizer.update(gradient, state, params, batch=batch)

    given = gradient, state, problem.params, problem.batch
    compiled = step.lower(*given).compile()
    before = _forget_peak()
    jax.block_until_ready(compiled(*given))
    least = 2 * problem.block.n**2 * problem.batch[0].dtype.itemsize
    planned = compiled.memory_analysis()
    measured = None if before is None else _status("VmHWM") - before
    peak = planned.temp_size_in_bytes + planned.output_size_in_bytes
    ratio = max(peak, measured or 0) / least
    return {
        "curvature": name,
        "n": problem.block.n,
        "block_and_factor_bytes": least,
        "planned_bytes": peak,
        "measured_peak_bytes": measured,
        "ratio": ratio,
        "limit": LIMIT,
        "met": ratio <= LIMIT,
    }


def _forget_peak() -> int | None:
    """Set the process's peak back to what it holds now, and return that; None where the system has no such thing.

    Without it the peak of the compiler hides that of the step.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
