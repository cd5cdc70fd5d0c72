"""Published query counts of quantum linear solver algorithms: one small file per paper, one record per theorem."""

from .bounds import QUERY_BOUNDS as QUERY_BOUNDS
from .bounds import QueryBound as QueryBound
from .bounds import block_queries as block_queries
from .bounds import mori2026_precision as mori2026_precision
from .bounds import mori2026_sparsity as mori2026_sparsity
from .bounds import search_queries as search_queries
from .bounds import wang2024_block_depth as wang2024_block_depth
from .bounds import wang2024_sparse_depth as wang2024_sparse_depth
from .costa import costa2021 as costa2021
from .costa import costa2021_definite as costa2021_definite
from .costa import costa2023 as costa2023
from .costa import costa2023_definite as costa2023_definite
from .costa2026 import costa2026 as costa2026
from .dalzell import dalzell2024 as dalzell2024
from .dalzell import dalzell2024_eq48 as dalzell2024_eq48
from .dalzell import dalzell2024_eq118 as dalzell2024_eq118
from .dalzell import dalzell2024_known_norm as dalzell2024_known_norm
from .hhl import hhl2009 as hhl2009
from .jennings import jennings2023v1 as jennings2023v1
from .jennings import jennings2023v2_abstract as jennings2023v2_abstract
from .jennings import jennings2023v3_eq175 as jennings2023v3_eq175
from .lcu import chebyshev2015 as chebyshev2015
from .lcu import fourier2015 as fourier2015
from .lcu import lefterovici2025_qsvt as lefterovici2025_qsvt
from .model import Evidence as Evidence
from .model import Matrices as Matrices
from .model import QueryModel as QueryModel
from .model import Unit as Unit
from .qnewton import qnewton2024_abstract as qnewton2024_abstract
from .qsvt import martyn2021 as martyn2021
from .qsvt import sunderhauf2025 as sunderhauf2025

QUERY_MODELS: dict[str, QueryModel] = {
    model.name: model
    for model in (
        jennings2023v1,
        jennings2023v2_abstract,
        jennings2023v3_eq175,
        costa2021,
        costa2021_definite,
        costa2023,
        costa2023_definite,
        dalzell2024,
        dalzell2024_eq118,
        dalzell2024_eq48,
        dalzell2024_known_norm,
        costa2026,
        sunderhauf2025,
        martyn2021,
        lefterovici2025_qsvt,
        chebyshev2015,
        fourier2015,
        hhl2009,
        qnewton2024_abstract,
    )
}
"""All of them, by name."""
