"""Published query counts of quantum linear solvers, each with its source, range and error convention."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._solvers.quantum.precision import ErrorBudget as ErrorBudget
    from ._solvers.quantum.precision import ErrorConvention as ErrorConvention
    from ._solvers.quantum.queries import QUERY_BOUNDS as QUERY_BOUNDS
    from ._solvers.quantum.queries import QUERY_MODELS as QUERY_MODELS
    from ._solvers.quantum.queries import Evidence as Evidence
    from ._solvers.quantum.queries import Matrices as Matrices
    from ._solvers.quantum.queries import QueryBound as QueryBound
    from ._solvers.quantum.queries import QueryModel as QueryModel
    from ._solvers.quantum.queries import Unit as Unit
    from ._solvers.quantum.queries import block_queries as block_queries
    from ._solvers.quantum.queries import chebyshev2015 as chebyshev2015
    from ._solvers.quantum.queries import costa2021 as costa2021
    from ._solvers.quantum.queries import costa2021_definite as costa2021_definite
    from ._solvers.quantum.queries import costa2023 as costa2023
    from ._solvers.quantum.queries import costa2023_definite as costa2023_definite
    from ._solvers.quantum.queries import costa2026 as costa2026
    from ._solvers.quantum.queries import dalzell2024 as dalzell2024
    from ._solvers.quantum.queries import dalzell2024_eq48 as dalzell2024_eq48
    from ._solvers.quantum.queries import dalzell2024_eq118 as dalzell2024_eq118
    from ._solvers.quantum.queries import dalzell2024_known_norm as dalzell2024_known_norm
    from ._solvers.quantum.queries import fourier2015 as fourier2015
    from ._solvers.quantum.queries import hhl2009 as hhl2009
    from ._solvers.quantum.queries import jennings2023v1 as jennings2023v1
    from ._solvers.quantum.queries import jennings2023v2_abstract as jennings2023v2_abstract
    from ._solvers.quantum.queries import jennings2023v3_eq175 as jennings2023v3_eq175
    from ._solvers.quantum.queries import lefterovici2025_qsvt as lefterovici2025_qsvt
    from ._solvers.quantum.queries import martyn2021 as martyn2021
    from ._solvers.quantum.queries import mori2026_precision as mori2026_precision
    from ._solvers.quantum.queries import mori2026_sparsity as mori2026_sparsity
    from ._solvers.quantum.queries import qnewton2024_abstract as qnewton2024_abstract
    from ._solvers.quantum.queries import search_queries as search_queries
    from ._solvers.quantum.queries import sunderhauf2025 as sunderhauf2025
    from ._solvers.quantum.queries import wang2024_block_depth as wang2024_block_depth
    from ._solvers.quantum.queries import wang2024_sparse_depth as wang2024_sparse_depth
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
