"""LAPACK for jax's programs on a CPU, without what `scipy.linalg` imports besides."""

import functools
import importlib.util
import sys
from importlib.machinery import PathFinder

LIBRARIES = ("scipy.linalg.cython_blas", "scipy.linalg.cython_lapack")
"""Where jaxlib finds its LAPACK."""


@functools.cache
def load_lapack() -> None:
    """Give jaxlib its LAPACK, which it would else look for when it first lowers a factorisation.

    It imports two modules of `scipy.linalg`, and with them the whole of that package, some 150 modules, 0.2 s of a
    first step. The two need none of the others, so they are loaded by their paths. Afterwards they are forgotten, so
    that whoever imports `scipy.linalg` finds it as ever. Where anything is not as expected nothing is done, and jaxlib
    does what it would have done.
    """
    if "scipy.linalg" in sys.modules:
        return
    loaded: list[str] = []
    try:
        import scipy
        from jaxlib.cpu import _lapack

        folders = [f"{folder}/linalg" for folder in scipy.__path__]
        for name in LIBRARIES:
            spec = PathFinder.find_spec(name, folders)
            if spec is None or spec.loader is None:
                return
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            loaded.append(name)
            spec.loader.exec_module(module)
        _lapack.initialize()
    except (ImportError, AttributeError):
        return
    finally:
        for name in loaded:
            sys.modules.pop(name, None)
