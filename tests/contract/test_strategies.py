"""Whatever is chosen, a solver, an estimator, a policy or an encoding, is a setting of a program and no number in it.

Conditioning is: a schedule changes its damping from step to step.
"""

import inspect

import equinox as eqx
import jax
import pytest

import qnewton as q

KINDS = ("curvature", "emulation", "encodings", "estimators", "readouts", "scheduling", "solvers")


def made(kind: str) -> dict[str, eqx.Module]:
    """An object of each class that has a default for everything."""
    space = getattr(q, kind)
    classes = {name: getattr(space, name) for name in dir(space) if not name.startswith("_")}
    found = {}
    for name, one in classes.items():
        if inspect.isclass(one) and issubclass(one, eqx.Module) and not inspect.isabstract(one):
            needed = inspect.signature(one).parameters.values()
            if all(each.default is not each.empty for each in needed):
                found[name] = one()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_strategies_hold_nothing_that_would_be_traced(kind):
    """So that two that are equal share a compiled step, and none of their numbers is an array inside it."""
    objects = made(kind)
    assert objects, kind
    for name, one in objects.items():
        assert jax.tree.leaves(one) == [], name
        assert hash(one) == hash(type(one)()), name
        assert one == type(one)(), name
