"""The run-time type checker of the test suite: beartype, where an int is also a float (PEP 484's numeric tower).

`conftest.py` names `typecheck.check` to jaxtyping's import hook, which wraps every function of `cadenza` with it, so
shapes such as `Float[Tensor, "B C N"]` are checked at every call. Outside the tests nothing is.
"""

from collections.abc import Callable
from typing import Any, Self

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    # beartype understands Self on whole classes only, and jaxtyping hands over one function at a time.
    for name, hint in getattr(function, "__annotations__", {}).items():
        if hint is Self:
            function.__annotations__[name] = Any
    return _check(function)
