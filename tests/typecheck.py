"""The run-time type checker of the test suite: beartype, where an int is also a float (PEP 484's numeric tower).

`conftest.py` calls `install`. jaxtyping's import hook then wraps every function of `cadenza`, so that shapes such as
`Float[Tensor, "B C N"]` are checked at every call. Outside the tests nothing is.

Checks are built when a function is first called: most are called in few processes, and to build all of them took half
of the import. What has no shape in its signature is checked by beartype alone: the same hints, without the memory of
shapes that jaxtyping keeps for each call.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from inspect import isgeneratorfunction
from types import FunctionType
from typing import Any, Self, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

_build = beartype(conf=BeartypeConf(is_pep484_tower=True))
_with_shapes = jaxtyping.jaxtyped


def install() -> None:
    """From here on `cadenza` is checked wherever it is imported."""
    jaxtyping.install_import_hook("cadenza", "typecheck.check")
    jaxtyping.jaxtyped = _decorate  # what the hook writes above every function and class


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its hints checked, from its first call on."""
    # beartype understands Self on whole classes only, and jaxtyping hands over one function at a time.
    for name, hint in getattr(function, "__annotations__", {}).items():
        if hint is Self:
            function.__annotations__[name] = Any
    checked: Callable[..., Any] | None = None

    @wraps(function)
    def first(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        if checked is None:
            checked = _build(function)
        return checked(*args, **kwargs)

    return first


def _decorate(function: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    if function is None:
        return partial(_decorate, typechecker=typechecker)
    if is_dataclass(function) and isinstance(function, type):
        if "__init__" in vars(function):
            function.__init__ = _decorate(function.__init__, typechecker=typechecker)
        return function
    if type(function) is not FunctionType or isgeneratorfunction(function):
        return _with_shapes(function, typechecker=typechecker)
    hints = {name: _evaluated(hint, function) for name, hint in function.__annotations__.items()}
    if any(map(_has_shape, hints.values())):
        return _with_shapes(function, typechecker=typechecker)
    # A twin carries the hints that beartype reads; others (typer, FastAPI) find them as they were written.
    twin = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__, twin.__qualname__, twin.__module__ = (
        function.__kwdefaults__, function.__qualname__, function.__module__,
    )  # fmt: skip
    twin.__annotations__ = hints
    return wraps(function)(check(twin))


def _evaluated(hint: Any, function: FunctionType) -> Any:
    """A hint with quotes as what it stands for; Any where its name is imported for readers of types only."""
    if isinstance(hint, type) and not get_args(hint):
        return hint

    def holder() -> None: ...

    holder.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(holder, function.__globals__, include_extras=True)["hint"]
    except Exception:  # not only NameError: what stands in quotes may be anything
        return Any


def _has_shape(hint: Any) -> bool:
    is_array = isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray)
    return is_array or any(map(_has_shape, get_args(hint)))
