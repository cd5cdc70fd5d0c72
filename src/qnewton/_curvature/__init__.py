"""Curvature: from an objective, parameters and a batch to one symmetric block per Newton system.

`independence` is imported from the module of its name.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import AbstractCurvature as AbstractCurvature
    from .batch import Shared as Shared
    from .empirical_fisher import EmpiricalFisher as EmpiricalFisher
    from .gauss_newton import GaussNewton as GaussNewton
    from .hessian import Hessian as Hessian
    from .independence import Coupling as Coupling
    from .independence import Independence as Independence
    from .microbatch import Microbatched as Microbatched
    from .objective import Batch as Batch
    from .objective import Objective as Objective
    from .partition import Block as Block
    from .partition import Partition as Partition
    from .partition import per_layer as per_layer
    from .partition import per_tensor as per_tensor
    from .partition import selected as selected
    from .partition import whole as whole
    from .point import Point as Point
else:
    from .._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
