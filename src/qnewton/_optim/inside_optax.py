"""What optax's own wrappers ask of an optimizer: placeholders in `init`, hidden parameters, arguments that are dropped.

optax's optimizers map over leaves and mind neither. Ours lay their state out by shapes, and see the model.
"""

import functools
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Concatenate, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from .._core.kinds import check_key, said
from .._core.saved import known_to_flax
from .._core.trees import check_params, struct_of, unravel
from .._curvature.objective import Objective

Options = ParamSpec("Options")
Make = Callable[[Objective], optax.GradientTransformationExtraArgs]

_WHOLE: ContextVar[PyTree | None] = ContextVar("whole", default=None)
"""All parameters, masked ones included, while `with_all_params` runs an `init`."""

_GIVEN: ContextVar[dict[str, Any] | None] = ContextVar("given", default=None)
"""What an update was given besides, while `with_all_params` runs one."""


def inside_optax(
    make: Callable[Concatenate[Objective, Options], optax.GradientTransformationExtraArgs],
) -> Callable[Concatenate[Objective, Options], optax.GradientTransformationExtraArgs]:
    """Let the optimizer of a factory function work inside `optax.masked` and `optax.tree.map_params`."""

    @functools.wraps(make)
    def made(
        objective: Objective, *args: Options.args, **kwargs: Options.kwargs
    ) -> optax.GradientTransformationExtraArgs:
        def again(own: Objective) -> optax.GradientTransformationExtraArgs:
            return make(own, *args, **kwargs)

        edge = _Edge(make.__name__, objective, again(objective), again)
        return optax.GradientTransformationExtraArgs(edge.init, edge.update)

    return made


def with_all_params(optimizer: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """Show all parameters and arguments to our optimizers, inside of what hides, flattens or drops them.

    `optax.masked` and `optax.partition` hide parameters from what they wrap, and a model does not run without them. So
    wrap the whole optimizer, `with_all_params(optax.partition({"a": newton(objective), "b": optax.adam(1e-3)},
    labels))`: every update is then given `all_params=params`, which our optimizers read, and `init` sees all of them,
    too. What is hidden is a constant to our curvature, as it is behind `qnewton.freeze`.

    `optax.lookahead`, `optax.contrib.sam` and other wrappers call the optimizer that they wrap without the arguments
    that they do not know, `batch` and `key` among them. Around them, as in `with_all_params(optax.lookahead(optimizer,
    5, 0.5))`, our optimizers find what they were not given among the arguments of the whole update.

    Args:
        optimizer: whatever optax makes.

    Returns:
        The transformation; its state is the optimizer's own.
    """
    inner = optax.with_extra_args_support(optimizer)
    takes = inspect.signature(inner.update).parameters.values()
    known = None if any(one.kind is one.VAR_KEYWORD for one in takes) else {one.name for one in takes}

    def init(params: PyTree) -> Any:
        with _held(_WHOLE, params):
            return inner.init(params)

    def update(updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        extra = {"all_params": params, **extra}
        with _held(_GIVEN, extra):
            passed = {name: value for name, value in extra.items() if known is None or name in known}
            return inner.update(updates, state, params, **passed)

    return optax.GradientTransformationExtraArgs(init, update)


def all_of(params: PyTree) -> PyTree:
    """Return the parameters that `with_all_params` shows in an `init`; without it, those that are given."""
    whole = _WHOLE.get()
    return params if whole is None else whole


def trainable(name: str, objective: Objective, params: PyTree) -> tuple[Objective, PyTree]:
    """Return what an optimizer of these parameters is made for: arrays with entries, and the objective of them alone.

    Args:
        name: of who asks.
        objective: of all parameters.
        params: among them may be Python's floats, and arrays without entries.
    """
    params = _of_arrays(params)
    bare = _without_empty(params)
    if bare is params:
        return objective, params
    return replace(objective, predict=_Showing.of(name, objective.predict, bare, params)), bare


def needs_batch(name: str) -> str:
    """What an update without a batch is told.

    Args:
        name: of the optimizer.
    """
    return (
        f"{name} needs update(grads, state, params, batch=(inputs, targets)); where a wrapper drops that, as "
        "optax.lookahead does, wrap the whole optimizer: qnewton.optim.with_all_params(optimizer)"
    )


class HiddenParametersError(ValueError):
    """Error for a model that would run with parameters that a mask hides."""


class AllHidden(NamedTuple):
    """State of an optimizer whose parameters are all hidden by a mask, so that it has no work."""


@dataclass(frozen=True)
class _Edge:
    """`init` and `update` of an optimizer, as optax's wrappers call them.

    Attributes:
        name: of the function that made it.
        objective: that it was made for.
        inner: the optimizer.
        again: makes it for another objective.
        seen: what the last `init` was for; empty before.
        made: the shapes in the states of its inits, by what they were for.
    """

    name: str
    objective: Objective
    inner: optax.GradientTransformationExtraArgs
    again: Make
    seen: "list[_Seen]" = field(default_factory=list)
    made: "dict[Any, list[tuple[int, ...]]]" = field(default_factory=dict)

    def init(self, params: PyTree) -> Any:
        if type(params).__name__ == "_ParamsPlaceholder":
            return self._with_placeholders(params)
        params, whole = _of_arrays(params), _WHOLE.get()
        bare = _without_empty(params)
        if bare is not params:
            with _held(_WHOLE, params if whole is None else whole):
                return self.init(bare)
        if _hides(params) and not jax.tree.leaves(params):
            return AllHidden()
        state = (self._for(params, whole) if _altered(params, whole) else self.inner).init(params)
        self._remember(_Seen.of(params, whole))
        if whole is None:
            self.made[_laid_out(params)] = _kept(state)
        known_to_flax(state)
        return state

    def update(self, updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, Any]:
        if isinstance(state, AllHidden):
            return updates, state
        self._check(state, extra)
        extra = (_GIVEN.get() or {}) | extra
        all_params, params = extra.pop("all_params", None), _of_arrays(params)
        bare = _without_empty(params)
        if bare is not params:
            some = updates
            if updates is not None:
                some = jax.tree.map(lambda own, g: own if _is_hidden(own) else g, bare, updates, is_leaf=_is_hidden)
            shown = params if all_params is None else all_params
            moved, after = self.update(some, state, bare, **extra, all_params=shown)
            return jax.tree.map(lambda own, u: own if own.size == 0 else u, params, moved), after
        inner = self.inner
        if _altered(params, all_params):
            inner = self._for(params, all_params)
        elif self.made and params is not None:
            self._check_made_for(params, state)
        moved, after = inner.update(updates, state, params, **extra)
        known_to_flax(after)
        return moved, after

    def _check(self, state: Any, extra: Mapping[str, Any]) -> None:
        """Refuse a state that none of ours made, and a key that is none."""
        if not hasattr(state, "info"):
            raise TypeError(
                f"{self.name} got a state that it did not make, {said(state)}: give what its init or its last update "
                "returned; inside optax.chain and other wrappers that is a part of the whole state"
            )
        check_key(extra.get("key"), f"{self.name}: key")

    def _check_made_for(self, params: PyTree, state: Any) -> None:
        """Refuse a state that an init made for other parameters; only where this optimizer has made any."""
        place = _laid_out(params)
        if place not in self.made:
            check_params(params)
            self.made[place] = _kept(jax.eval_shape(self.inner.init, params))
        given, wanted = _kept(state), self.made[place]
        if given != wanted:
            one, other = next(
                ((a, b) for a, b in zip(given, wanted, strict=False) if a != b),
                (f"{len(given)} arrays", f"{len(wanted)} arrays"),
            )
            raise ValueError(
                f"{self.name} got a state that was made for other parameters (it has {one} where one of these "
                f"parameters has {other}): give the state that init(params) made of these parameters, or the last "
                "update of them"
            )

    def _for(self, params: PyTree, whole: PyTree | None) -> optax.GradientTransformationExtraArgs:
        """The optimizer for an objective of the parameters as it is given them; what is hidden is a constant."""
        if _shows(self.objective.predict):
            return self.inner  # another one of ours, around this one, has seen to it
        shown = _Showing.of(self.name, self.objective.predict, params, whole)
        return self.again(replace(self.objective, predict=shown))

    def _remember(self, seen: "_Seen") -> None:
        self.seen[:] = [seen]
        place = id(self.objective)
        if place not in _SEEN:
            weakref.finalize(self.objective, _SEEN.pop, place, None)
        _SEEN[place] = seen

    def _with_placeholders(self, placeholder: PyTree) -> Any:
        """Return the state with a placeholder for every part that is laid out as the parameters.

        `optax.tree.map_params` does not say which parameters it is about: they are those of the last `init` of this
        optimizer or, where `optax.inject_hyperparams` has made it anew, of one for the same objective.
        """
        seen = self.seen[0] if self.seen else _SEEN.get(id(self.objective))
        if seen is None:
            raise ValueError(
                f"{self.name}: how its state is laid out is decided by init(params), which was not called yet: call it "
                "first, with arrays or under jax.eval_shape"
            )

        def state(params: PyTree, whole: PyTree | None) -> Any:
            with _held(_WHOLE, whole):
                return self.init(params)

        return _marked(jax.eval_shape(state, *seen), placeholder)


class _Seen(NamedTuple):
    """Shapes of the parameters of an `init`, and of all of them if hidden ones were shown to it."""

    params: PyTree
    whole: PyTree | None

    @classmethod
    def of(cls, params: PyTree, whole: PyTree | None) -> "_Seen":
        return cls(*jax.tree.map(lambda leaf: struct_of(leaf.shape, leaf), (params, whole)))


_SEEN: dict[int, _Seen] = {}
"""By the identity of an objective that still lives, what the last `init` for it was for."""


class _Showing:
    """A model that receives the parameters left by a mask, and runs on all of them."""

    def __init__(self, predict: Callable[..., PyTree], merge: Callable[[PyTree], PyTree]):
        # Not after the call below: what takes a key is read from the signature.
        functools.update_wrapper(self, predict, updated=())
        self._predict, self._merge = predict, merge

    def __call__(self, params: PyTree, *args: Any, **kwargs: Any) -> PyTree:
        return self._predict(self._merge(params), *args, **kwargs)

    @classmethod
    def of(cls, name: str, predict: Callable[..., PyTree], masked: PyTree, whole: PyTree | None) -> "_Showing":
        """Return a model that fills the hidden places of `masked` from `whole`, or takes its structure."""
        if _flattened(masked, whole):
            leaves, structure = jax.tree.flatten(whole)
            return cls(predict, lambda params: jax.tree.unflatten(structure, unravel(params, leaves)))
        if whole is not None and not _hides(whole):
            return cls(predict, lambda params: jax.tree.map(_shown_in, params, whole, is_leaf=_is_hidden))
        hidden = [
            jax.tree_util.keystr(path, simple=True, separator=".")
            for path, leaf in jax.tree_util.tree_leaves_with_path(masked, is_leaf=_is_hidden)
            if _is_hidden(leaf)
        ]
        absent = _absent(
            f"{name}: a mask hides the parameters {', '.join(hidden)}, and the model does not run without them: wrap "
            "the whole optimizer, qnewton.optim.with_all_params(optimizer), or take them out of the parameters, "
            "qnewton.freeze"
        )
        return cls(
            predict,
            lambda params: jax.tree.map(lambda own: absent() if _is_hidden(own) else own, params, is_leaf=_is_hidden),
        )


def _absent(said: str) -> type[optax.MaskedNode]:
    """Return a placeholder for a hidden parameter: a model may pass it on, but not compute with it."""

    def refuse(*_: Any) -> Any:
        raise HiddenParametersError(said)

    def missing(node: object, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        refuse()

    both = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")
    names = ["getitem", "neg", "abs", "iter", "len", "lt", "le", "gt", "ge", *both, *(f"r{one}" for one in both)]
    methods: dict[str, Any] = {f"__{one}__": refuse for one in names}
    # What `jax.numpy` asks of whatever it is given.
    asked = {"__jax_array__": property(refuse), "__getattr__": missing}
    # Functions of `jax.lax` say the class and nothing else.
    return type("hidden_by_a_mask_see_qnewton_optim_with_all_params", (optax.MaskedNode,), methods | asked)


def _laid_out(params: PyTree) -> Any:
    """The structure and the shapes of parameters, to be looked up by."""
    return jax.tree.structure(params), tuple(_shapes(params))


def _kept(state: Any) -> list[tuple[int, ...]]:
    """Shapes of what a state keeps for the next step; what it reports is nobody's input."""
    return _shapes(state._replace(info=None) if hasattr(state, "_replace") else state)


def _shapes(tree: PyTree) -> list[tuple[int, ...]]:
    return [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _shows(model: Any) -> bool:
    """Return whether a model receives the hidden parameters, at any depth of wrappers."""
    while not isinstance(model, _Showing):
        model = getattr(model, "predict", None)
        if model is None:
            return False
    return True


def _shown_in(own: PyTree, shown: PyTree) -> PyTree:
    return jax.lax.stop_gradient(shown) if _is_hidden(own) else own


def _is_hidden(node: object) -> bool:
    return isinstance(node, optax.MaskedNode)


def _of_arrays(params: PyTree) -> PyTree:
    """The parameters with arrays for Python's floats."""
    if not any(type(leaf) is float for leaf in jax.tree.leaves(params)):
        return params
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(float)) if type(leaf) is float else leaf, params)


def _without_empty(params: PyTree) -> PyTree:
    """The parameters with arrays without entries hidden, beside others; the same object where there are none."""
    sizes = [getattr(leaf, "size", 1) for leaf in jax.tree.leaves(params)]
    if all(sizes) or not any(sizes):
        return params
    return jax.tree.map(lambda leaf: leaf if getattr(leaf, "size", 1) else optax.MaskedNode(), params)


def _altered(params: PyTree, whole: PyTree | None) -> bool:
    """Whether these are not the parameters as the model takes them."""
    return _hides(params) or _flattened(params, whole)


def _flattened(params: PyTree, whole: PyTree | None) -> bool:
    """Whether `optax.flatten` has made one vector of all parameters."""
    if jax.tree.structure(params) != jax.tree.structure(0) or jax.tree.structure(whole) == jax.tree.structure(0):
        return False
    return jnp.shape(params) == (sum(jnp.size(leaf) for leaf in jax.tree.leaves(whole)),)


def _hides(params: PyTree) -> bool:
    return any(_is_hidden(leaf) for leaf in jax.tree.leaves(params, is_leaf=_is_hidden))


@contextmanager
def _held(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _marked(state: Any, placeholder: PyTree) -> Any:
    """Return the state of any qnewton optimizer, with the placeholder for the fields that its class names."""
    if type(state) is tuple:
        return tuple(_marked(part, placeholder) for part in state)
    if not hasattr(state, "_fields"):
        return state
    like = getattr(state, "like_params", ())
    named = zip(state._fields, state, strict=True)
    parts = {name: placeholder if name in like else _marked(part, placeholder) for name, part in named}
    return type(state)(**parts)
