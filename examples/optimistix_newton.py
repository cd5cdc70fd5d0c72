"""A quantum linear solver inside optimistix.

`optimistix.Newton` takes any lineax solver, and the emulated ones are such. Jacobians of nonlinear systems are not
symmetric: singular value transformation takes them as they are, other algorithms need a dilation. optimistix passes a
solver no options; the read-out noise is drawn anew in every iteration all the same, since its key is folded with the
right-hand side.

    pip install "qnewton[examples]"
    python examples/optimistix_newton.py
"""

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx

import qnewton as qn


def residual(y, _):
    """Two circles and a plane: three equations, three unknowns."""
    a, b, c = y
    return jnp.stack([a**2 + b**2 - 4, b**2 + c**2 - 5, a + 2 * b - c - 1])


def solve(linear_solver: lx.AbstractLinearSolver) -> optx.Solution:
    newton = optx.Newton(rtol=1e-4, atol=1e-4, linear_solver=linear_solver)
    # A length that is not quite right makes an iteration slower, and no solution wrong.
    return optx.root_find(residual, newton, jnp.array([2.5, 1.0, 2.5]), max_steps=40, throw=False)


SOLVERS = {
    "LU": lx.LU(),
    "exact state": qn.EmulatedQSVT(precision=1e-2),
    "100,000 shots": qn.EmulatedQSVT(
        precision=1e-2, measurement=qn.emulation.Shots(100_000), length=qn.emulation.LineFit()
    ),
    "100 shots, refined": qn.Refine(
        qn.EmulatedQSVT(precision=1e-2, measurement=qn.emulation.Shots(100), length=qn.emulation.LineFit()),
        rounds=20,
        tolerance=1e-3,
    ),
}


def main() -> dict[str, optx.Solution]:
    found = {}
    for name, solver in SOLVERS.items():
        found[name] = solution = jax.jit(solve, static_argnums=0)(solver)
        size = float(jnp.linalg.norm(residual(solution.value, None)))
        steps = int(solution.stats["num_steps"])
        print(f"{name:20} {steps:3} iterations, residual {size:.1e}, at {solution.value}")
    return found


if __name__ == "__main__":
    main()
