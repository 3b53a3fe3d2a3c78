"""Foreign tensors to our modules.

In: a configuration and tensors under foreign names. Out: one of our modules that holds those tensors, uncopied.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from cadenza.checkpoint import Config, assign_weights, on_meta
from cadenza.convert.names import Names, gather
from cadenza.errors import CheckpointError

M = TypeVar("M", bound=nn.Module)


def assemble(
    module_class: Callable[[Any], M],
    config: Config,
    names: Callable[[M], Names],
    foreign: Mapping[str, Tensor],
    source: str | Path,
) -> M:
    """`module_class(config)` with the tensors that `names(module)` maps to; missing or left-over ones are errors."""
    with on_meta():
        module = module_class(config)
    assign_weights(module, gather(names(module), foreign, source), source)
    return module.eval()


@contextmanager
def reading(source: str | Path) -> Iterator[None]:
    """Say in one line what a malformed configuration of `source` lacks, wherever it was missed."""
    try:
        yield
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{source}: its configuration lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, ValueError, ArithmeticError, LookupError) as error:
        raise CheckpointError(f"{source}: its configuration is malformed ({error})") from error


def require(settings: Mapping[str, Any], expected: Mapping[str, Any], source: str | Path) -> None:
    """Refuse a configuration whose settings (where it has them) differ from the only ones implemented here."""
    for key, value in expected.items():
        if key in settings and settings[key] != value:
            raise CheckpointError(
                f"{source}: {key} is {settings[key]!r}, only {value!r} is supported: this model cannot be converted"
            )
