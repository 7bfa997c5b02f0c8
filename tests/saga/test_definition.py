"""What a saga may be made of, refused one by one when it is given."""

from __future__ import annotations

import dataclasses
import functools

import pytest

from penstock import Retry, Saga, SagaStore, saga
from penstock.errors import Misuse


async def nothing(context):
    pass


def generator(context):
    yield


async def async_generator(context):
    yield


@pytest.mark.parametrize("name", ["", None, 3, "x" * 201, "a/b"])
def test_names_of_sagas(name):
    with pytest.raises(Misuse, match="saga's name") as caught:
        Saga(name)
    assert "1 to 200 characters, no slash" in caught.value.hint


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"name": ""}, "a step's name is ''"),
        ({"name": 7}, "a step's name is 7"),
        ({"name": "x" * 201}, "a step's name is"),
        ({"name": "a/b"}, "a step's name is 'a/b'"),
        ({"name": "undo"}, "a step's name is 'undo'"),
        ({"name": "first"}, "there is a step 'first' already"),
        ({"do": None}, "do=None of step 'one' cannot be called"),
        ({"do": "reserve"}, "do='reserve' of step 'one' cannot be called"),
        ({"do": generator}, "is a generator"),
        ({"do": async_generator}, "is a generator"),
        ({"compensate": 3}, "compensate=3 of step 'one' cannot be called"),
        ({"compensate": generator}, "is a generator"),
        ({"retry": 3}, "retry=3 is no Retry"),
        ({"retry": None}, "retry=None is no Retry"),
        ({"compensate_retry": 3}, "compensate_retry=3 is no Retry"),
        ({"timeout": 0}, "timeout=0 of step 'one'"),
        ({"timeout": -1.0}, "timeout=-1.0 of step 'one'"),
        ({"timeout": float("nan")}, "timeout=nan of step 'one'"),
        ({"timeout": float("inf")}, "timeout=inf of step 'one'"),
        ({"timeout": "2"}, "timeout='2' of step 'one'"),
        ({"pivot": True}, "would be a second pivot"),
    ],
)
def test_arguments_of_a_step(arguments, complaint):
    booking = Saga("book")
    booking.add_step("first", nothing, pivot=True)
    given = {"name": "one", "do": nothing, **arguments}
    with pytest.raises(Misuse, match="saga 'book': ") as caught:
        booking.add_step(given.pop("name"), given.pop("do"), **given)
    assert complaint in str(caught.value)
    assert caught.value.hint
    assert [step.name for step in booking.steps] == ["first"], "nothing was added"


def test_a_context_type_that_is_no_data():
    with pytest.raises(Misuse, match="cannot be decoded"):
        Saga("book", context=complex)


async def test_a_saga_without_steps():
    empty = Saga("book")
    with pytest.raises(Misuse, match="it has no steps"):
        await empty.run({})
    with pytest.raises(Misuse, match="it has no steps"):
        SagaStore.open("memory://", sagas=[empty])


async def test_no_step_after_the_first_run():
    booking = Saga("book")
    booking.add_step("one", nothing)
    await booking.run({})
    with pytest.raises(Misuse, match="step 'two' comes after its first run"):
        booking.add_step("two", nothing)


def test_the_decorator_gives_back_the_function():
    booking = Saga("book")

    @booking.step(compensate=nothing)
    async def one(context):
        pass

    @booking.step(name="another")
    async def two(context):
        pass

    assert one.__name__ == "one"
    assert [step.name for step in booking.steps] == ["one", "another"]
    assert repr(booking) == "<Saga 'book': 2 steps>"


def shaped(*steps, **options):
    made = Saga("book", **options)
    for name, more in steps:
        made.add_step(name, nothing, **more)
    made.seal()
    return made.version


def test_the_version_tells_what_decides_where_a_run_stands():
    plain = shaped(("a", {}), ("b", {}))
    assert shaped(("a", {}), ("b", {})) == plain
    assert shaped(("a", {"timeout": 3, "retry": Retry(attempts=9)}), ("b", {})) == plain
    different = {
        shaped(("b", {}), ("a", {})),
        shaped(("a", {})),
        shaped(("a", {}), ("b", {}), ("c", {})),
        shaped(("a", {"compensate": nothing}), ("b", {})),
        shaped(("a", {"pivot": True}), ("b", {})),
        shaped(("a", {}), ("b", {"pivot": True})),
    }
    assert len(different) == 6
    assert plain not in different


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"sagas": ["book"]}, "holds 'book', which is no Saga"),
        ({"sagas": [0, 0]}, "holds 0"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"concurrency": True}, "concurrency=True"),
        ({"concurrency": 10_001}, "concurrency=10001"),
        ({"lease": 0}, "lease=0 is no time"),
        ({"lease": float("inf")}, "lease=inf is no time"),
        ({"lease": "10"}, "lease='10' is no time"),
        ({"patience": -1}, "patience=-1 is no time"),
        ({"max_crashes": 0}, "max_crashes=0"),
        ({"url": "trips.db"}, "no engine for 'trips.db'"),
        ({"url": "sqlite://"}, "names no file"),
    ],
)
def test_arguments_of_a_store(arguments, complaint):
    given = {"url": "memory://", "sagas": [], **arguments}
    with pytest.raises(Misuse) as caught:
        SagaStore.open(given.pop("url"), **given)
    assert complaint in str(caught.value)


def test_two_sagas_of_one_name():
    one, two = Saga("book"), Saga("book")
    for each in (one, two):
        each.add_step("a", nothing)
    with pytest.raises(Misuse, match="two sagas are named 'book'"):
        SagaStore.open("memory://", sagas=[one, two])


@pytest.mark.parametrize("key", ["", 5, "x" * 501, b"k", "\ud800"])
async def test_keys(key, url):
    booking = Saga("book")
    booking.add_step("a", nothing)
    with pytest.raises(Misuse, match="key="):
        await booking.run({}, key=key)
    async with SagaStore.open(url, sagas=[booking]) as store:
        with pytest.raises(Misuse, match="key="):
            await store.start(booking, {}, key=key)
        assert await store.counts() == {}


@dataclasses.dataclass
class Trip:
    to: str


@pytest.mark.parametrize("context", [{1, 2}, object(), float, {"a": object()}])
async def test_a_context_that_cannot_be_stored(context):
    booking = Saga("book", context=dict)
    booking.add_step("a", nothing)
    with pytest.raises(Misuse, match=r"saga 'book': a .* cannot be stored"):
        # msgspec writes a set as a list, and plain JSON does not.
        await booking.run({"deep": object()} if isinstance(context, set) else context)


async def test_partials_and_callable_objects():
    ran = []

    class Reserve:
        async def __call__(self, trip):
            ran.append("object")

    async def pay(amount, trip):
        ran.append(amount)

    booking = Saga("book")
    booking.add_step("reserve", Reserve())
    booking.add_step("pay", functools.partial(pay, 30))
    booking.add_step("say", functools.partial(ran.append))
    await booking.run("trip")
    assert ran == ["object", 30, "trip"]


def test_outside_of_a_step_there_is_none():
    with pytest.raises(Misuse, match="no step of a saga runs here"):
        saga.current()
