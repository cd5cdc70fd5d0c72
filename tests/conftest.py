"""What every test may use: both float widths, and one profile for the property tests."""

import gc
import os
from collections.abc import Iterator

import hypothesis
import jax
import jax.numpy as jnp
import pytest

# Nearly all of the tests' time is compilation, of programs that run once. So they are compiled the quick way: without
# LLVM's optimiser, and by XLA's older emitters, which halves the time of it all. JAX reads this when it first computes.
# Whoever sets the variable runs the tests their way: `XLA_FLAGS= make test` compiles as users and benchmarks do, and
# the training in a process of its own (tests/cli) always does.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

# Tracing makes objects by the hundred thousand, few of them in cycles.
gc.set_threshold(20_000)

hypothesis.settings.register_profile(
    "qnewton",
    deadline=None,  # the first example of a test compiles, the others do not
    max_examples=15,
    derandomize="CI" in os.environ,
    # `dtype` below is the same for all examples of a test, so it need not be set up anew for each of them.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("qnewton")


@pytest.fixture(scope="module", autouse=True)
def _survivors_are_searched_once() -> None:
    """Compiled programs stay for as long as the process; the collector need not walk through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _float_width_stays() -> Iterator[None]:
    """Fails a test that leaves the global float width changed, and sets it back for the tests after it."""
    before = jax.config.read("jax_enable_x64")
    yield
    after = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", before)
    assert after == before, "use `with jax.enable_x64(True):` or the `dtype` fixture"


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Iterator[jnp.dtype]:
    """The float type of a test that runs once in single and once in double precision."""
    with jax.enable_x64(request.param == "float64"):
        yield jnp.dtype(request.param)
