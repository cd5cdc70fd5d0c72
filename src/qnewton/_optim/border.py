"""The border between the optimizers and arrays on many devices: the one place that makes them plain.

Inside of the border a step knows of no mesh with explicit axes and of no mapped axis. Around it, nothing is done for
arrays that one device holds.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax.core import Tracer
from jaxtyping import PyTree

from .._core.lapack import load_lapack
from .._core.memory import checks_suspended
from .._core.pieces import Pieces, dividing
from .._curvature.batch import Batch, leads
from .._curvature.independence import Independence, independence
from .._curvature.objective import Objective, gradient_of
from .._devices.crew import Crew, with_crew
from .._devices.mapped import AxisName, check_unmapped, checked_axis_name, gathered, tracked
from .._devices.meshes import (
    check_closures,
    check_devices,
    crew_on,
    explicit_mesh,
    laid_alike,
    on_mesh_of,
    spread,
    under_automatic_axes,
)
from .._devices.processes import check_agreed, several

_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether another optimizer's border lies around this one."""


def transformation(
    user: str,
    objective: Objective,
    init: Callable[[PyTree], Any],
    update: Callable[..., tuple[PyTree, Any]],
    axis_name: AxisName = None,
) -> optax.GradientTransformationExtraArgs:
    """Return an optax transformation that accepts arrays in any layout over devices.

    Args:
        user: name of the optimizer, for messages.
        objective: what it minimises.
        init: of arrays that one device might hold.
        update: likewise.
        axis_name: of mapped axes that batches are spread over.
    """
    border = _Border(user, objective, init, update, checked_axis_name(axis_name, user))
    # optax's types know states made of arrays alone; ours hold equinox modules.
    return optax.GradientTransformationExtraArgs(border.init, border.update)  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class _Border:
    user: str
    objective: Objective
    inner_init: Callable[[PyTree], Any]
    inner_update: Callable[..., tuple[PyTree, Any]]
    axis_name: tuple[str, ...] | None

    def init(self, params: PyTree) -> Any:
        """Return the state before the first step, on the devices of the parameters."""
        if _inside.get():
            return self.inner_init(params)
        load_lapack()
        if explicit_mesh(self.user, parameters=params) is not None:
            self._check_closures()
        state = self.inner_init(params)
        if several() and not checks_suspended() and _of_all_processes(params):
            check_agreed(self.user, (self.inner_init, params, state))
        return on_mesh_of(params, state)

    def update(self, updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        """The step, laid out as the parameters, and the state, laid out as before."""
        batch = extra.get("batch")
        if _inside.get() or params is None or not (isinstance(batch, tuple | list) and len(batch) == 2):
            return self.inner_update(updates, state, params, **extra)
        batch, pieces = tuple(batch), None
        token = _inside.set(True)
        try:
            if self.axis_name:
                batch = gathered(
                    self.axis_name, [*leads(batch[0]), *leads(batch[1])], batch, extra.get("key"), self.user
                )
                extra = {**extra, "value": None}
                pieces = self._pieces(params, batch, extra.get("key"))
                with dividing(pieces):
                    # Each replica's own gradient is that of its piece, or a mean over pieces that may weigh otherwise.
                    updates = gradient_of(self.objective, params, batch, extra.get("key"))
            elif self.axis_name is None:
                check_unmapped(self.user, params, batch)
            check_devices(self.user, parameters=params, batch=batch)
            devices = Crew.along(self.axis_name) if self.axis_name else crew_on((params, batch))
            with with_crew(devices), dividing(pieces):
                return self._on_meshes(updates, state, params, {**extra, "batch": batch})
        finally:
            _inside.reset(token)

    def _pieces(self, params: PyTree, batch: Batch, key: Any) -> Pieces | None:
        """Return the replicas that share the examples; None if an example influences another one."""
        assert self.axis_name is not None
        devices = Crew.along(self.axis_name)
        if devices is None:
            return None
        kind = independence(self.objective, params, batch, key).kind
        alone = kind in (Independence.PROVEN, Independence.SEEN)
        return Pieces(devices.names, devices.count, tracked(devices.names[0])) if alone else None

    def _check_closures(self) -> None:
        check_closures(self.user, predict=self.objective.predict, loss=self.objective.loss)

    def _on_meshes(self, updates: PyTree, state: Any, params: PyTree, extra: dict[str, Any]) -> tuple[PyTree, Any]:
        given = (updates, state, params, extra)
        mesh = explicit_mesh(self.user, parameters=params, batch=extra["batch"], gradients=updates, state=state)
        if mesh is None and not spread((params, extra)):
            return self.inner_update(updates, state, params, **extra)
        replaced = jax.tree.leaves((params, state))
        if mesh is None:
            found = self.inner_update(updates, state, params, **extra)
            leaves, structure = jax.tree.flatten(found)
            return jax.tree.unflatten(structure, laid_alike(leaves, replaced))
        self._check_closures()
        leaves, structure = jax.tree.flatten(given)
        outward: list[Any] = []

        def body(inner: list[Any]) -> list[Any]:
            updates, state, params, extra = jax.tree.unflatten(structure, inner)
            found, returned = jax.tree.flatten(self.inner_update(updates, state, params, **extra))
            outward.append(returned)
            return found

        found = under_automatic_axes(mesh, body, leaves, replaced)
        return jax.tree.unflatten(outward[0], found)


def _of_all_processes(params: PyTree) -> bool:
    """Return whether the parameters belong to one program on all processes, rather than to this process alone."""
    leaves = [leaf for leaf in jax.tree.leaves(params) if isinstance(leaf, jax.Array)]
    return any(isinstance(leaf, Tracer) or not leaf.is_fully_addressable for leaf in leaves)
