"""Records: `dataclass`, `field` and `replace` as the standard library has them, made at a tenth of its cost.

The standard library compiles six methods for each class when it is declared, 0.3 ms a class: a tenth of a run with
nothing to do. Here a class gets methods that all classes share, and its `__init__` is compiled when a few instances
were made without; most classes of a run have fewer. Type checkers see the standard library's. What differs: only what
this library uses is there, and the signature of a class is not known to `inspect` before that.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_MISSING: Any = type("_Missing", (), {"__repr__": lambda _: "<default>"})()
_OWN = "__record__"
_FEW = 8
"""Instances of a class that are filled one field after the other, which takes less time than to compile for them."""


class Frozen(AttributeError):
    """An assignment to a field of a frozen record."""


class Field:
    """One field: its default or the factory of it, and where it takes part."""

    __slots__ = ("compare", "default", "factory", "init", "kw_only", "name", "repr")

    def __init__(
        self,
        *,
        default: Any = _MISSING,
        default_factory: Any = _MISSING,
        init: bool = True,
        repr: bool = True,  # noqa: A002  # the standard library's name
        compare: bool = True,
    ) -> None:
        self.name = ""
        self.default = default
        self.factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare
        self.kw_only = False


def _record(*, frozen: bool = False, slots: bool = False, order: bool = False, kw_only: bool = False) -> Any:
    """As `dataclasses.dataclass` with these arguments."""

    def decorate(cls: type) -> type:
        inherited: dict[str, Field] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited |= base.__dict__.get(_OWN, {})
        own = {name: _field(cls, name, kw_only=kw_only) for name in cls.__annotations__}  # its own: Python 3.10
        fields = inherited | own
        _check_order(cls, fields)
        body = dict(cls.__dict__)
        for name in own:
            body.pop(name, None)
            if not slots and fields[name].default is not _MISSING:
                body[name] = fields[name].default
        compared = _getter([each for each in fields.values() if each.compare])
        for name, method in _methods(fields, compared, frozen=frozen, order=order).items():
            body.setdefault(name, method)
        if not frozen and "__eq__" not in cls.__dict__:
            body["__hash__"] = None
        if slots:
            body["__slots__"] = tuple(name for name in fields if name not in inherited)
        body.pop("__dict__", None)
        body.pop("__weakref__", None)
        body[_OWN] = fields
        body["__dataclass_fields__"] = _Described()
        body["__match_args__"] = tuple(each.name for each in fields.values() if each.init and not each.kw_only)
        made = type(cls)(cls.__name__, cls.__bases__, body)
        made.__qualname__ = cls.__qualname__
        made.__init__ = _unmade(made)  # type: ignore[misc]  # replaced by the compiled one in time
        return made

    return decorate


def _check_order(cls: type, fields: dict[str, Field]) -> None:
    """As the standard library does, when the class is declared and not with the first instance that is compiled for."""
    optional = False
    for each in fields.values():
        if not each.init or each.kw_only:
            continue
        has_default = each.default is not _MISSING or each.factory is not _MISSING
        if optional and not has_default:
            raise TypeError(f"non-default argument {each.name!r} of {cls.__name__} follows a default argument")
        optional = has_default


def _field(cls: type, name: str, *, kw_only: bool) -> Field:
    given = cls.__dict__.get(name, _MISSING)
    found = given if isinstance(given, Field) else Field(default=given)
    found.name, found.kw_only = name, kw_only
    return found


def _getter(fields: list[Field]) -> Callable[[Any], Any]:
    names = [each.name for each in fields]
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda record: (getattr(record, names[0]),)) if names else (lambda _: ())


def _methods(
    fields: dict[str, Field], compared: Callable[[Any], Any], *, frozen: bool, order: bool
) -> dict[str, Callable[..., Any]]:
    """The methods that need no compiler."""
    names = tuple(fields)
    shown = [each.name for each in fields.values() if each.repr]

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: list[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    found = {each.__name__: each for each in (__repr__, __eq__, __getstate__, __setstate__)}
    if frozen:
        found |= _frozen(compared)
    return found | (_ordering(compared) if order else {})


def _frozen(compared: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(compared(self))

    def __setattr__(self: Any, name: str, _: object) -> None:  # noqa: N807
        raise Frozen(f"cannot assign to field {name!r} of {type(self).__name__}")

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        raise Frozen(f"cannot delete field {name!r} of {type(self).__name__}")

    return {each.__name__: each for each in (__hash__, __setattr__, __delattr__)}


def _ordering(compared: Callable[[Any], Any]) -> dict[str, Callable[..., Any]]:
    def __lt__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) < compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __le__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) <= compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __gt__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) > compared(other) if other.__class__ is self.__class__ else NotImplemented

    def __ge__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) >= compared(other) if other.__class__ is self.__class__ else NotImplemented

    return {each.__name__: each for each in (__lt__, __le__, __gt__, __ge__)}


def _unmade(cls: Any) -> Callable[..., None]:
    """An `__init__` that makes do for a few instances, then puts the compiled one in its place, and goes on with it."""
    left = _FEW

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807
        nonlocal left
        left -= 1
        filled = _filled(cls.__dict__[_OWN], values, named) if left >= 0 else None
        if filled is None:  # the compiled one also says what is wrong with the arguments
            made = cls.__init__ = _initializer(cls)
            made(self, *values, **named)
            return
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        if hasattr(cls, "__post_init__"):
            self.__post_init__()

    return __init__


def _filled(own: dict[str, Field], values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """The value of every field by these arguments; None where they are not those of the class."""
    fields = [each for each in own.values() if each.init]
    ahead = [each.name for each in fields if not each.kw_only]
    given = dict(zip(ahead, values))  # noqa: B905  # the rest have defaults, or are named
    if len(values) > len(ahead) or not given.keys().isdisjoint(named):
        return None
    given |= named
    found = {}
    for each in fields:
        value = given.pop(each.name, each.default)
        if value is _MISSING:
            if each.factory is _MISSING:
                return None
            value = each.factory()
        found[each.name] = value
    return None if given else found


def _initializer(cls: Any) -> Callable[..., None]:
    fields: list[Field] = [each for each in cls.__dict__[_OWN].values() if each.init]
    known: dict[str, Any] = {"_MISSING": _MISSING, "_object": object}
    ahead, named = ["self"], list[str]()
    lines = []
    for each in fields:
        name = each.name
        value = name
        parameter = name
        if each.factory is not _MISSING:
            known[f"_make_{name}"] = each.factory
            parameter, value = f"{name}=_MISSING", f"_make_{name}() if {name} is _MISSING else {name}"
        elif each.default is not _MISSING:
            known[f"_default_{name}"] = each.default
            parameter = f"{name}=_default_{name}"
        (named if each.kw_only else ahead).append(parameter)
        lines.append(f" _object.__setattr__(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    signature = ", ".join(ahead + (["*", *named] if named else []))
    text = f"def __init__({signature}):\n" + ("\n".join(lines) or " pass")
    exec(text, known)  # noqa: S102  # the names of fields alone, as the standard library does it
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


class _Described:
    """`__dataclass_fields__`, for `dataclasses.fields` and its like, made when somebody asks."""

    def __get__(self, _: object, owner: type) -> Any:
        import dataclasses

        found = []
        for each in getattr(owner, _OWN).values():
            settings = {"init": each.init, "repr": each.repr, "compare": each.compare, "kw_only": each.kw_only}
            default = {"default": each.default} if each.default is not _MISSING else {}
            factory = {"default_factory": each.factory} if each.factory is not _MISSING else {}
            found.append((each.name, Any, dataclasses.field(**settings, **default, **factory)))
        made = dataclasses.make_dataclass(owner.__name__, found).__dict__["__dataclass_fields__"]
        owner.__dataclass_fields__ = made  # type: ignore[attr-defined]  # in the place of this
        return made


def _replaced(record: Any, /, **changes: Any) -> Any:
    """As `dataclasses.replace`."""
    for name, each in record.__record__.items():
        if each.init and name not in changes:
            changes[name] = getattr(record, name)
    return record.__class__(**changes)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  # handed on
    from dataclasses import field as field  # noqa: PLC0414
    from dataclasses import replace as replace  # noqa: PLC0414
else:
    dataclass, field, replace = _record, Field, _replaced
