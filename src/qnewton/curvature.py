"""Objectives, the curvature matrices of their blocks, and partitions of parameters into blocks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.operators import AbstractCurvatureOperator as AbstractCurvatureOperator
    from ._core.operators import Path as Path
    from ._core.records import System as System
    from ._curvature import AbstractCurvature as AbstractCurvature
    from ._curvature import Block as Block
    from ._curvature import Coupling as Coupling
    from ._curvature import EmpiricalFisher as EmpiricalFisher
    from ._curvature import GaussNewton as GaussNewton
    from ._curvature import Hessian as Hessian
    from ._curvature import Independence as Independence
    from ._curvature import Microbatched as Microbatched
    from ._curvature import Objective as Objective
    from ._curvature import Shared as Shared
    from ._curvature import per_layer as per_layer
    from ._curvature import per_tensor as per_tensor
    from ._curvature import whole as whole
    from ._curvature.independence import independence as independence
    from ._curvature.objective import Batch as Batch
    from ._curvature.partition import Partition as Partition
    from ._curvature.point import Point as Point
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
