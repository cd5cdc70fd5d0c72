"""kfac-jax (Botev and Martens 2022), driven the way its own examples do: one call of `Optimizer.step` per step."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .contestants import Configuration, Contestant, Program, Training, product
from .fused import AVERAGE, Batch, Hyper, numbers, orders, unbiased
from .problems import Params, Problem


def adapt_to_jax() -> None:
    """Let kfac-jax 0.0.8 run on jax 0.9.2 and later, whose `get_bind_params` returns the parameters alone.

    The evaluation of one equation is all that is replaced; nothing that takes time in a compiled step.
    """
    from kfac_jax._src import tag_graph_matcher

    def evaluate(eqn: Any, values: list[Any]) -> list[Any]:
        bound = eqn.primitive.get_bind_params(eqn.params)
        functions, params = bound if isinstance(bound, tuple) else ((), bound)
        output = eqn.primitive.bind(*functions, *values, **params)
        return list(output) if eqn.primitive.multiple_results else [output]

    tag_graph_matcher.eval_jaxpr_eqn = evaluate


def registered_loss(problem: Problem) -> Callable[[Params, Batch], jax.Array]:
    """The objective with its outputs registered, which is how kfac-jax learns of the output curvature."""
    import kfac_jax

    def loss(params: Params, batch: Batch) -> jax.Array:
        inputs, targets = batch
        outputs = problem.objective.predict(params, inputs)
        if problem.kind == "softmax":
            kfac_jax.register_softmax_cross_entropy_loss(outputs, jax.nn.one_hot(targets, outputs.shape[-1]))
        else:
            # kfac-jax means `weight` times the squared error.
            rows = outputs.reshape(len(outputs), -1)
            kfac_jax.register_squared_error_loss(rows, targets.reshape(rows.shape), weight=0.5)
        return jnp.mean(problem.objective.loss(outputs, targets))

    return loss


# Damping, rate and momentum chosen by kfac-jax: its mode for full batches. The initial damping is put into the state.
ADAPTIVE = {
    "use_adaptive_learning_rate": True,
    "use_adaptive_momentum": True,
    "use_adaptive_damping": True,
    "initial_damping": 1.0,
    "inverse_update_period": 5,
}
# Constant damping, rate and momentum, given to each step, with the norm constraint: its mode for noisy batches.
CONSTANT = {"norm_constraint": 3e-3, "curvature_update_period": 5, "inverse_update_period": 10}
MOMENTUM = 0.9


class KfacJax(Program):
    """kfac-jax compiles inside its first steps, so their seconds, less those of warm steps, count as compilation."""

    def __init__(self, problem: Problem, static: dict[str, Any], first: Configuration):
        adapt_to_jax()
        self.problem, self.static = problem, static
        self.loss = registered_loss(problem)
        began = time.perf_counter()
        self.optimizer = self._optimizer()
        training = _KfacJaxTraining(self, 0, numbers(problem, first))
        for _ in range(6):  # The damping is adapted every fifth step, which is a program of its own.
            training.advance()
        whole = time.perf_counter() - began
        before, steps = training.seconds, 5
        for _ in range(steps):
            training.advance()
        one = (training.seconds - before) / steps
        self.compile_seconds = max(0.0, whole - 6 * one)
        self.steps_per_chunk = max(1, round(problem.granularity_seconds / one))

    def _optimizer(self) -> Any:
        import kfac_jax

        return kfac_jax.Optimizer(
            value_and_grad_func=jax.value_and_grad(self.loss),
            l2_reg=0.0,
            num_burnin_steps=0,
            multi_device=False,
            batch_size_extractor=lambda batch: len(jax.tree.leaves(batch)[0]),
            **(ADAPTIVE if self.problem.batch_size is None else CONSTANT),
            **self.static,
        )

    def begin(self, seed: int, configuration: Configuration, limit_seconds: float) -> Training:
        del limit_seconds
        return _KfacJaxTraining(self, seed, numbers(self.problem, configuration))


class _KfacJaxTraining(Training):
    def __init__(self, program: KfacJax, seed: int, hyper: Hyper):
        problem = program.problem
        order = orders(problem, seed)
        self._program, self._batch = program, problem.batch
        self._order = None if order is None else jnp.asarray(order)
        self._params, self._key = problem.init(seed), jax.random.key(seed)
        self._average = None if order is None else jax.tree.map(jnp.zeros_like, self._params)
        self._given = {} if order is None else {"momentum": jnp.asarray(MOMENTUM), **hyper}
        start = time.perf_counter()
        self._state = program.optimizer.init(self._params, jax.random.PRNGKey(seed), self._next())
        if "initial_damping" in hyper:
            self._state.damping = jnp.array(hyper["initial_damping"])  # A copy: the step donates its state.
        jax.block_until_ready((self._params, self._state))
        self.seconds = time.perf_counter() - start

    def _next(self) -> Batch:
        if self._order is None:
            return self._batch
        return _take(self._batch, self._order, self.steps % len(self._order))

    def advance(self) -> None:
        chunk, optimizer = self._program.steps_per_chunk, self._program.optimizer
        # The probes' keys are made beforehand, off the clock.
        keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.fold_in(self._key, self.steps), chunk)))
        start = time.perf_counter()
        for key in keys:
            self._params, self._state, _ = optimizer.step(
                self._params, self._state, key, batch=self._next(), global_step_int=self.steps, **self._given
            )
            if self._average is not None:
                self._average = _mix(self._average, self._params)
            self.steps += 1
        jax.block_until_ready((self._params, self._average))
        self.seconds += time.perf_counter() - start

    def candidates(self) -> list[Params]:
        return [self._params] if self._average is None else [self._params, unbiased(self._average, self.steps)]


@jax.jit
def _take(batch: Batch, order: jax.Array, step: int) -> Batch:
    return jax.tree.map(lambda a: a[order[step]], batch)


@jax.jit
def _mix(average: Params, params: Params) -> Params:
    return jax.tree.map(lambda m, p: AVERAGE * m + (1 - AVERAGE) * p, average, params)


def _contestant() -> Contestant:
    dampings = {
        "digits": (0.01, 0.1, 1.0),
        "digits28": (0.01, 0.1, 1.0),
        "autoencoder": (0.01, 0.1, 1.0),
        "poisson": (1e-3, 0.1, 10.0),
    }
    grid = {
        name: product(static={"curvature_update_period": (1, 5)}, initial_damping=values)
        for name, values in dampings.items()
    }
    grid["autoencoder_minibatch"] = product(learning_rate=(0.03, 0.1, 0.3), damping=(1e-3, 1e-2))

    def build(problem: Problem, static: dict[str, Any]) -> KfacJax:
        return KfacJax(problem, static, grid[problem.name][0])

    missing = None if importlib.util.find_spec("kfac_jax") else "not installed"
    return Contestant("kfac_jax", "second-order", grid, build, missing=missing)


KFAC_JAX = _contestant()
