"""Type checks while tests run: shapes where a function names any, plain types everywhere else.

jaxtyping's hook wraps every function of a package, binds its arguments and checks them twice, which
took a quarter of the suite's time. Here each is checked once, and only those with an array among
their annotations remember shapes: elsewhere there is none that two of them could share.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from inspect import isclass
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping

_whole = jaxtyping.jaxtyped


def _is_array(hint: object) -> bool:
    """Whether a type has a shape somewhere inside."""
    if isclass(hint) and issubclass(hint, (jaxtyping.AbstractArray, jaxtyping.AbstractDtype)):
        return True
    return any(_is_array(one) for one in get_args(hint))


def hints_of(function: FunctionType) -> dict[str, Any]:
    """What a function's annotations mean, without those that only a type checker can import."""
    found: dict[str, Any] = {}
    for name, hint in function.__annotations__.items():

        def holder() -> None: ...

        holder.__annotations__ = {name: hint}
        with suppress(Exception):  # as jaxtyping does: what cannot be found is anything
            found |= get_type_hints(holder, function.__globals__, include_extras=True)
    return found


def _checked(function: FunctionType, hints: dict[str, Any], typechecker: Callable[..., Any]) -> Any:
    bare = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__,
        function.__closure__,
    )  # fmt: skip
    bare.__annotations__, bare.__kwdefaults__ = hints, function.__kwdefaults__
    bare.__module__, bare.__qualname__ = function.__module__, function.__qualname__
    checked = typechecker(bare)
    if any(_is_array(one) for one in hints.values()):
        checked = _whole(checked, typechecker=None)  # arguments and result share their shapes

    @wraps(function)
    def either(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        return checked(*args, **kwargs)

    return either


def jaxtyped(what: Any = None, *, typechecker: Any = None) -> Any:
    """Instead of `jaxtyping.jaxtyped`, where its import hook puts it; classes as ever."""
    if what is None:
        return lambda one: jaxtyped(one, typechecker=typechecker)
    if not isinstance(what, FunctionType):
        return _whole(what, typechecker=typechecker)
    hints = hints_of(what)
    return _checked(what, hints, typechecker) if hints else what


def install() -> None:
    """What jaxtyping's import hook decorates with from here on."""
    jaxtyping.jaxtyped = jaxtyped
