"""Error of tomography against copies, beside what the cost library charges for."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import qnewton as qn
from qnewton._solvers.quantum.readout import InteriorPoint, KerenidisPrakash

SIZES = (16, 64, 256, 1024)
PRECISIONS = (0.3, 0.1, 0.03, 0.01)


def errors(sizes: tuple[int, ...] = SIZES, precisions: tuple[float, ...] = PRECISIONS) -> list[dict[str, Any]]:
    """With the copies that `KerenidisPrakash` charges for each precision: mean and largest error of 50 states."""
    rows = []
    for n in sizes:
        for precision in precisions:
            measurement = qn.emulation.Tomography(precision, KerenidisPrakash())
            copies = measurement.copies(n)[0]

            @jax.jit
            @jax.vmap
            def error(key, measurement=measurement, n=n):
                preparing, reading = jax.random.split(key)
                state = jax.random.normal(preparing, (n,))
                state = state / jnp.linalg.norm(state)
                return jnp.linalg.norm(measurement.read(reading, state, jnp.zeros(())) - state)

            found = np.asarray(error(jax.random.split(jax.random.key(n), 50)), np.float64)
            mean = float(np.sqrt(np.mean(found**2)))
            rows.append(
                {
                    "n": n,
                    "precision": precision,
                    "copies": copies,
                    "interior_point_copies": float(InteriorPoint().copies(n, precision, 0.01).copies),
                    "rms_error": mean,
                    "largest_error": float(found.max()),
                    "constant": float(mean * np.sqrt(copies / n)),
                }
            )
        print(f"n = {n}: error sqrt(copies / n) = {[round(row['constant'], 3) for row in rows[-4:]]}", flush=True)
    return rows


def slopes(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Exponents of copies and n in the measured error, by least squares in the logarithms, and the constant."""
    logs = np.log([[row["copies"], row["n"], row["rms_error"]] for row in rows])
    design = np.column_stack([logs[:, 0], logs[:, 1], np.ones(len(logs))])
    copies, size, constant = np.linalg.lstsq(design, logs[:, 2], rcond=None)[0]
    return {"copies": float(copies), "n": float(size), "constant": float(np.exp(constant))}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Measured errors, and the formulas read backwards: the error that so many copies are charged for."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5.5), layout="constrained")
    for index, n in enumerate(sorted({row["n"] for row in rows})):
        own = [row for row in rows if row["n"] == n]
        copies = np.array([row["copies"] for row in own])
        # One marker per n on all of its lines, so that black and white will do.
        look = {"color": f"C{index}", "marker": "os^D"[index % 4]}
        axes.loglog(copies, [row["rms_error"] for row in own], "-", **look, label=f"measured, n = {n:,}")
        look |= {"linewidth": 1, "markersize": 4, "markerfacecolor": "none"}
        axes.loglog(copies, [row["precision"] for row in own], "--", **look)
        interior = [row["interior_point_copies"] for row in own]
        axes.loglog(interior, [row["precision"] for row in own], ":", **look)
    axes.plot([], [], "k--", linewidth=1, label="charged for: Kerenidis-Prakash, 36 n ln n / error$^2$")
    axes.plot([], [], "k:", linewidth=1, label="charged for: interior point, failure probability 0.01")
    axes.set_xlabel("copies for the magnitudes, and as many for the signs")
    axes.set_ylabel("error of the unit vector, 2-norm")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=150)
