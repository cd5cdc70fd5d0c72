"""Batches and parameters on many devices."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._optim.spread import replicate as replicate
    from ._optim.spread import shard_batch as shard_batch
else:
    from ._core.on_demand import on_demand

    __getattr__, __dir__, __all__ = on_demand(__name__)
