"""The families of Newton steps."""

import enum

NO_CURVATURE = "the loss has no curvature in the outputs, and parameters are few: their exact Hessian has"
"""Why a training with few parameters takes blocks of exact Hessians."""


class Family(enum.StrEnum):
    """Family of a step's direction, which determines the systems that it solves."""

    BLOCKS = "blocks"
    """Gauss-Newton or Hessian blocks of parameters, dense or left to products."""
    DUAL = "dual"
    """Levenberg-Marquardt in the residuals, at two dampings."""
    KFAC = "kfac"
    """Kronecker factors of the layers."""
    FISHER = "fisher"
    """The empirical Fisher matrix of each unit."""
