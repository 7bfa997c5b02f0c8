"""The taxonomy: each family keeps what it carries, and is what readers already catch."""

from __future__ import annotations

import copy
import pickle
import queue

import pytest

from penstock import errors
from penstock.errors import PenstockError

FAMILIES = [getattr(errors, name) for name in errors.__all__]

ALSO = {
    errors.Full: queue.Full,
    errors.Empty: queue.Empty,
    errors.Expired: TimeoutError,
    errors.Misuse: ValueError,
}


def everything_below(family: type[PenstockError]) -> list[type[PenstockError]]:
    below = family.__subclasses__()
    return [*below, *(deeper for child in below for deeper in everything_below(child))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles_with_hint_notes_and_fields(family: type[PenstockError], protocol: int):
    error = family("queue 'orders' holds 7 of 7", hint="raise maxsize")
    error.add_note("while draining")
    error.accepted = 3
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is family
    assert str(again) == "queue 'orders' holds 7 of 7"
    assert again.args == error.args
    assert again.hint == "raise maxsize"
    assert again.__notes__ == ["hint: raise maxsize", "while draining"]
    assert again.accepted == 3
    assert again.code == error.code


@pytest.mark.parametrize("family", FAMILIES)
def test_it_copies(family: type[PenstockError]):
    error = copy.copy(family("x", hint="y"))
    assert (str(error), error.hint, error.__notes__) == ("x", "y", ["hint: y"])


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_a_penstock_error_and_what_readers_catch(family: type[PenstockError]):
    with pytest.raises(PenstockError):
        raise family("x")
    if also := ALSO.get(family):
        with pytest.raises(also):
            raise family("x")


def test_a_subclass_with_fields_of_its_own_pickles():
    error = pickle.loads(pickle.dumps(Torn(7)))
    assert (str(error), error.line, error.hint) == ("line 7 is torn", 7, "mend it")


class Torn(errors.EngineError):
    code = "engine.torn"

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is torn", hint="mend it")
        self.line = line


def test_without_a_hint_there_is_no_note():
    error = PenstockError("plain")
    assert error.hint is None
    assert not hasattr(error, "__notes__")


def test_a_code_names_one_class():
    # One with two families is below both.
    classes = dict.fromkeys([PenstockError, *everything_below(PenstockError)])
    codes = [cls.code for cls in classes if "code" in vars(cls)]
    assert len(codes) == len(set(codes))
    for family in FAMILIES:
        assert "code" in vars(family), f"{family.__name__} has no code of its own"
