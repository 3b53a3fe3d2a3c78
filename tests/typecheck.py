"""The run-time type checker of the test suite: beartype, where an int is also a float (PEP 484's numeric tower).

`conftest.py` names `typecheck.check` to jaxtyping's import hook, which wraps every function of `cadenza` with it, so
shapes such as `Float[Tensor, "B C N"]` are checked at every call. Outside the tests nothing is.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
