"""The checker of the tests finds what it is there for: wrong types, wrong shapes, wrong answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import typecheck
from cadenza.audio import Audio

if TYPE_CHECKING:
    from nowhere import Unknown

WRONG = (BeartypeCallHintViolation, TypeCheckError)


def checked(function):
    return typecheck._decorate(typechecker=typecheck.check)(function)


def test_types_are_checked_in_and_out():
    @checked
    def half(number: float, name: "str | None" = None) -> int:
        return number / 2 if name is None else int(number)

    assert half(3, "x") == 3, "an int is a float"
    for arguments in (("3",), (3.0, 4), (3.0,)):
        with pytest.raises(WRONG):
            half(*arguments)
    assert half.__annotations__["name"] == "str | None", "as it was written"


def test_shapes_are_checked_and_agree():
    @checked
    def add(a: Float[Tensor, "B C"], b: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        return (a + b)[:2]

    assert add(torch.ones(2, 3), torch.ones(2, 3)).shape == (2, 3)
    for a, b in (((2, 3), (2, 4)), ((3, 3), (3, 3)), ((2, 3, 1), (2, 3, 1))):
        with pytest.raises(WRONG):
            add(torch.ones(a), torch.ones(b))


def test_shapes_are_found_within_other_hints():
    @checked
    def first(pair: "tuple[Float[Tensor, 'N'], Float[Tensor, 'N']] | None") -> None: ...

    first(None)
    with pytest.raises(WRONG):
        first((torch.ones(2), torch.ones(3)))


def test_methods_generators_and_dataclasses():
    @checked
    @dataclass
    class Point:
        x: float
        far: "Unknown | None" = None

        @classmethod
        @checked
        def at(cls, x: float) -> Self:
            return cls(x)

        @checked
        def steps(self, count: int) -> Iterator[int]:
            yield from range(count)

    assert list(Point.at(2).steps(2)) == [0, 1]
    for wrong in (lambda: Point("2"), lambda: Point.at("2"), lambda: Point(2).steps("2")):
        with pytest.raises(WRONG):
            wrong()


def test_the_package_is_checked():
    with pytest.raises(WRONG):
        Audio.read(3)
