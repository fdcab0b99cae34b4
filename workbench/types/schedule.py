"""Numbers that change over training, as plain data: any option of a loss, rule or candidate."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from workbench.errors import BadArgument, check_count, check_number

Part = TypeVar("Part")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ramp:
    """A straight line from `start` to `end` between two optimiser steps, constant outside them.

    Args:
        start: value up to step `first`.
        end: value from step `last` on.
        first: step at which the change begins, from 0.
        last: step at which it is over.

    Raises:
        BadArgument: a number that is not finite, or last <= first.

    Example:
        >>> ramp = Ramp(start=0.0, end=9.0, first=100, last=200)
        >>> [ramp.value(step) for step in (0, 100, 150, 1000)]
        [0.0, 0.0, 4.5, 9.0]
    """

    start: float = 0.0
    end: float
    first: int = 0
    last: int

    def __post_init__(self) -> None:
        check_number("start", self.start, mend="Try 0.")
        check_number("end", self.end, mend="Try 5.")
        check_count("first", self.first, at_least=0, mend="Try 0.")
        check_count("last", self.last, mend="Try 1,000.")
        if self.last <= self.first:
            wanted = f"it must be > first, which is {self.first}"
            raise BadArgument("last", self.last, wanted, "Give the ramp at least one step.")

    def value(self, step: int) -> float:
        """The number that holds at an optimiser step."""
        share = (step - self.first) / (self.last - self.first)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))


def at_step(part: Part, step: int) -> Part:
    """The same part with every `Ramp` among its options replaced by its value at a step.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Demo:
        ...     strength: float | Ramp
        >>> at_step(Demo(Ramp(end=1.0, last=4)), 1)
        Demo(strength=0.25)
    """
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    fixed: dict[str, Any] = {
        field.name: value.value(step)
        for field in dataclasses.fields(part)
        if isinstance(value := getattr(part, field.name), Ramp)
    }
    return dataclasses.replace(part, **fixed) if fixed else part
