from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pytest

from multiarch_oci import record

SHAPES: list[dict[str, bool]] = [
    {"frozen": True},
    {"frozen": True, "slots": True},
    {"slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "order": True},
]


def declared(maker: Any, fields: Any, **settings: bool) -> Any:
    """Return one class, made by `maker`: ours or the standard library's."""

    @maker(**settings)
    class Point:
        """A point."""

        x: int
        name: str = "p"
        tags: list[str] = fields(default_factory=list, compare=False)
        secret: str = fields(default="s", repr=False)

        def twice(self) -> int:
            return 2 * self.x

    return Point


@pytest.fixture(params=SHAPES, ids="-".join)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    ours = declared(record.dataclass, record.field, **request.param)
    return ours, declared(dataclasses.dataclass, dataclasses.field, **request.param)


def outcome(call: Any) -> Any:
    """Return what a call says, or the kind of its error."""
    try:
        return call()
    except (TypeError, AttributeError) as error:
        return "AttributeError" if isinstance(error, AttributeError) else type(error).__name__


def parameters(cls: Any) -> list[tuple[str, Any, bool]]:
    found = inspect.signature(cls).parameters.values()
    return [(each.name, each.kind, each.default is inspect.Parameter.empty) for each in found]


def test_a_record_does_what_the_standard_library_does(pair: tuple[Any, Any]):
    def told(cls: Any) -> list[Any]:
        one, same, other = cls(x=1), cls(x=1, tags=["t"]), cls(x=2, name="q", secret="u")  # noqa: S106  # no password
        hidden = copy.copy(one)
        return [
            outcome(lambda: cls(1, "p").x), outcome(cls), outcome(lambda: cls(x=1, y=2)), repr(other), one == same,
            one == other, one == 1, one != same, outcome(lambda: hash(one) == hash(same)), outcome(lambda: one < other),
            outcome(lambda: one >= other), outcome(lambda: one < 1), outcome(lambda: setattr(hidden, "x", 5)),
            outcome(lambda: delattr(hidden, "name")), one.tags, other.twice(),
            [(each.name, each.compare, each.repr, each.init) for each in dataclasses.fields(cls)],
            dataclasses.asdict(other), repr(dataclasses.replace(other, name="r")), cls.__match_args__, cls.__doc__,
            getattr(cls, "__slots__", None), hasattr(one, "__dict__"), dataclasses.is_dataclass(one),
            parameters(cls), cls.__qualname__,
        ]  # fmt: skip

    ours, theirs = map(told, pair)
    assert ours == theirs


def test_each_instance_gets_a_list_of_its_own():
    cls = declared(record.dataclass, record.field, slots=True)
    one, other = cls(1), cls(2)
    one.tags.append("t")
    assert other.tags == []


@record.dataclass(frozen=True, slots=True)
class Base:
    line: int


@record.dataclass(frozen=True, slots=True)
class Derived(Base):
    word: str
    length: int = record.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.word))


def test_a_derived_record_has_the_fields_of_its_base_first_and_its_slots_once():
    assert repr(Derived(3, "four")) == "Derived(line=3, word='four', length=4)"
    assert (Base.__slots__, Derived.__slots__) == (("line",), ("word", "length"))
    assert Derived(3, "four") != Base(3)
    assert record.replace(Derived(3, "four"), word="x") == Derived(3, "x")


def test_a_record_survives_a_copy_and_a_pickle():
    made = Derived(3, "four")
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301  # our own bytes


def test_an_assignment_says_which_field_of_what():
    with pytest.raises(AttributeError, match=r"^cannot assign to field 'line' of Derived$"):
        Derived(3, "four").line = 4  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"^cannot assign to field 'other' of Derived$"):
        Derived(3, "four").other = 4  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"^cannot delete field 'word' of Derived$"):
        del Derived(3, "four").word


def test_an_own_method_is_kept():
    @record.dataclass(frozen=True, slots=True, order=True)
    class Shouting:
        word: str

        def __repr__(self) -> str:
            return self.word.upper()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert repr(Shouting("a")) == "A"
    assert Shouting("a") == Shouting("b")
    assert hash(Shouting("a")) == 7
    assert Shouting("a") < Shouting("b")


def test_a_class_with_few_instances_compiles_nothing(monkeypatch: pytest.MonkeyPatch):
    compiled = []
    monkeypatch.setattr(record, "exec", lambda *words: compiled.append(words) or exec(*words), raising=False)  # noqa: S102
    cls = declared(record.dataclass, record.field, frozen=True)
    few = [cls(number, secret="u") for number in range(8)]  # noqa: S106  # no password
    assert compiled == []
    more = [cls(number, secret="u") for number in range(8)]  # noqa: S106
    assert len(compiled) == 1
    assert few == more
    assert [repr(one) for one in few] == [repr(one) for one in more]
    assert len({id(one.tags) for one in few}) == 8


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, "p", [], "s", 5), {}), ((1,), {"x": 2}), ((1,), {"y": 2}), ((), {"name": "p"})],
    ids=["none", "too many", "twice", "unknown", "one is missing"],
)
def test_the_first_instance_is_refused_as_the_hundredth(values: tuple[Any, ...], named: dict[str, Any]):
    ours = declared(record.dataclass, record.field, frozen=True)
    theirs = declared(dataclasses.dataclass, dataclasses.field, frozen=True)
    told = []
    for cls in (ours, theirs):
        with pytest.raises(TypeError) as error:
            cls(*values, **named)
        told.append(str(error.value))
    assert told[0] == told[1]


def test_what_is_checked_behind_the_fields_is_checked_for_every_instance():
    class Checked:
        number: int

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError("below zero")

    cls: Any = record.dataclass(frozen=True)(Checked)
    for _ in range(20):
        assert cls(1).number == 1
        with pytest.raises(ValueError, match="below zero"):
            cls(-1)


@pytest.mark.parametrize("maker", [record.dataclass, dataclasses.dataclass])
def test_a_field_that_must_be_given_behind_one_that_need_not_is_refused_at_once(maker: Any):
    class Point:
        x: int = 0
        y: int

    with pytest.raises(TypeError, match="non-default argument 'y'"):
        maker()(Point)
    assert maker(kw_only=True)(Point)(y=1).y == 1
