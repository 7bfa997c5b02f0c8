"""Old call styles that go on to work, and say so at the line that uses them."""

from __future__ import annotations

import asyncio
import warnings
from typing import NamedTuple

import anyio
import pytest

from penstock.adapters import Strangler, deprecated, deprecated_arguments, deprecated_callback
from penstock.errors import Misuse
from penstock.resilience.form import form_of
from tests.resilience.calls import turn_until


def test_a_function_warns_where_it_is_called():
    @deprecated("total()", since="1.4", removed_in="2.0")
    def sum_up(*numbers):
        """Adds."""
        return sum(numbers)

    with pytest.warns(DeprecationWarning, match="since 1.4 and will be removed in 2.0") as caught:
        assert sum_up(1, 2) == 3
    assert caught[0].filename == __file__
    assert sum_up.__doc__ == "Adds."
    assert sum_up.__deprecated__ == str(caught[0].message)


def test_each_line_once_by_the_filters_of_python():
    @deprecated("other")
    def old():
        pass

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            old()
        old()
    assert len(caught) == 2


def test_a_class_warns_and_what_is_below_it_does_not():
    @deprecated("New")
    class Old:
        def __init__(self, value):
            self.value = value

    class Below(Old):
        pass

    with pytest.warns(DeprecationWarning, match="Old is deprecated: use New") as caught:
        assert Old(1).value == 1
    assert caught[0].filename == __file__
    assert Below(2).value == 2
    assert isinstance(Below(2), Old)


def test_a_class_that_is_made_by_new():
    @deprecated("New")
    class Pair(NamedTuple):
        left: int
        right: int = 0

    @deprecated("New")
    class Word(str):
        __slots__ = ()

    @deprecated("New")
    class Plain:
        pass

    class Own(Plain):
        def __new__(cls, value):
            made = super().__new__(cls)
            made.value = value
            return made

    class Taking(Plain):
        def __init__(self, value):
            self.value = value

    for make in (lambda: Pair(1, right=2), lambda: Word("x"), Plain):
        with pytest.warns(DeprecationWarning, match="use New") as caught:
            made = make()
        assert caught[0].filename == __file__
        assert made in ((1, 2), "x") or type(made) is Plain
    assert (Own(1).value, Taking(2).value) == (1, 2)
    with (
        pytest.warns(DeprecationWarning, match="use New"),
        pytest.raises(TypeError, match=r"Plain\(\) takes no arguments"),
    ):
        Plain(1)


async def test_frameworks_take_it_for_the_async_function_that_it_is():
    @deprecated("other")
    async def old(key):
        return f"old {key}"

    async def new(key):
        return f"new {key}"

    assert asyncio.iscoroutinefunction(old)
    assert form_of(old) == "async"
    with pytest.warns(DeprecationWarning, match="use other"):
        assert await Strangler("orders", old, new)("a") == "old a"


async def test_an_async_function_warns_at_the_call():
    @deprecated("other")
    async def old():
        return 1

    with pytest.warns(DeprecationWarning, match="use other") as caught:
        call = old()
    assert caught[0].filename == __file__
    assert await call == 1


def test_old_names_of_arguments():
    @deprecated_arguments(colour="color", since="3.1")
    def paint(color, *, size=1):
        return color, size

    with pytest.warns(DeprecationWarning, match="colour= is deprecated since 3.1: use color="):
        assert paint(colour="red", size=2) == ("red", 2)
    assert paint("red") == ("red", 1)
    with pytest.raises(TypeError, match="got colour= and color="):
        paint(colour="red", color="blue")


async def test_a_function_that_became_async_still_takes_a_callback():
    @deprecated_callback(since="2.0")
    async def fetch(key, timeout=1.0):
        await anyio.lowlevel.checkpoint()
        if key == "bad":
            raise KeyError(key)
        return key, timeout

    answers = []

    def done(error, value):
        answers.append((error, value))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await fetch("a") == ("a", 1.0)
        assert await fetch("a", timeout=2.0) == ("a", 2.0)
    with pytest.warns(DeprecationWarning, match=r"use await .*fetch\(…\)") as caught:
        assert fetch("a", done) is None
    assert caught[0].filename == __file__
    await turn_until(lambda: answers)
    with pytest.warns(DeprecationWarning, match="a callback is deprecated"):
        fetch("a", 3.0, done)
    await turn_until(lambda: len(answers) == 2)
    with pytest.warns(DeprecationWarning, match="a callback is deprecated"):
        fetch("bad", callback=done)
    await turn_until(lambda: len(answers) == 3)
    assert answers[:2] == [(None, ("a", 1.0)), (None, ("a", 3.0))]
    assert isinstance(answers[2][0], KeyError)


async def test_a_class_is_an_argument_and_no_callback():
    @deprecated_callback()
    async def parse(text, into=str):
        return into(text)

    assert await parse("7", int) == 7


async def test_a_pair_of_callbacks():
    @deprecated_callback(style="success_error")
    async def half(n):
        return n / 2

    answers = []
    with pytest.warns(DeprecationWarning, match="a callback is deprecated"):
        half(4, answers.append, answers.append)
    await turn_until(lambda: answers)
    assert answers == [2.0]


async def plain_async(callback):
    pass


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: deprecated(""), "is no name"),
        (lambda: deprecated(print)(7), "is no name"),
        (lambda: deprecated("x")(7), "7 is no function"),
        (deprecated_arguments, "no name"),
        (lambda: deprecated_arguments(a="b")(lambda c: None), "no parameter 'b'"),
        (lambda: deprecated_arguments(a="b")(lambda a, b: None), "still has a parameter 'a'"),
        (lambda: deprecated_callback()(print), "no async function"),
        (lambda: deprecated_callback()(plain_async), "still has a parameter 'callback'"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make, said):
    with pytest.raises(Misuse, match=said):
        make()
