"""`LegacyAdapter`: what goes in, what comes out, what is raised, and what the policy sees of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

import anyio
import pytest

from penstock import LegacyAdapter, Policy, Retry, promisify, to_sync
from penstock.adapters import Untranslated
from penstock.errors import Misuse
from penstock.resilience import Fallback
from tests.resilience.calls import Call, Work, everywhere, turn_until


@dataclass
class Order:
    article: str


@dataclass
class Price:
    amount: float


class SoapFault(Exception):
    pass


class BusyFault(SoapFault):
    pass


class Unknown(Exception):
    pass


class Unavailable(Exception):
    pass


class Old:
    """The old system: dictionaries in, text out."""

    def __init__(self, answer="12,50"):
        self.answer = answer
        self.asked = []
        self.threads = []

    def __call__(self, request):
        self.asked.append(request)
        self.threads.append(threading.get_ident())
        answer = self.answer
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def later(self, request):
        await anyio.lowlevel.checkpoint()
        return self(request)


def adapter(call, **options):
    return LegacyAdapter(
        call,
        name="prices",
        requests=lambda order: {"ART": order.article},
        responses=lambda text: Price(float(text.replace(",", "."))),
        errors={SoapFault: Unknown, BusyFault: lambda fault: Unavailable(f"busy: {fault}")},
        **options,
    )


async def test_request_and_response_are_translated():
    old = Old()
    assert await adapter(old)(Order("A1")) == Price(12.5)
    assert old.asked == [{"ART": "A1"}]
    assert old.threads != [threading.get_ident()]


async def test_on_the_loop_and_async():
    old = Old()
    assert await adapter(old, where="loop")(Order("A1")) == Price(12.5)
    assert await adapter(old.later)(Order("A1")) == Price(12.5)
    assert old.threads == [threading.get_ident()] * 2


def test_blocking_for_threads():
    old = Old()
    assert adapter(old).call(Order("A1")) == Price(12.5)
    assert old.threads == [threading.get_ident()]
    with pytest.raises(Misuse, match="prices is async"):
        adapter(old.later).call(Order("A1"))


async def test_over_callbacks_and_back_to_a_thread():
    def old(request, callback):
        threading.Thread(target=callback, args=(None, "3,00")).start()

    prices = adapter(promisify(old))
    assert await prices(Order("A1")) == Price(3.0)

    from penstock import to_async

    assert await to_async(lambda: to_sync(prices)(Order("A1")))() == Price(3.0)


@pytest.mark.parametrize("where", ["thread", "loop"])
async def test_the_nearest_class_of_an_error_translates_it(where):
    with pytest.raises(Unknown, match="no A1") as raised:
        await adapter(Old(SoapFault("no A1")), where=where)(Order("A1"))
    assert isinstance(raised.value.__cause__, SoapFault)
    with pytest.raises(Unavailable, match="busy: later"):
        await adapter(Old(BusyFault("later")), where=where)(Order("A1"))


async def test_what_has_no_translation_is_told_with_its_cause():
    fault = ZeroDivisionError("x")
    with pytest.raises(Untranslated, match=r"prices: the old system raised ZeroDiv") as raised:
        await adapter(Old(fault))(Order("A1"))
    assert raised.value.__cause__ is fault
    assert "add ZeroDivisionError to errors=" in raised.value.hint
    with pytest.raises(Untranslated, match=r"answered 'n/a'.*could not convert") as raised:
        await adapter(Old("n/a"))(Order("A1"))
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(Untranslated):
        adapter(Old("n/a")).call(Order("A1"))


async def test_a_translation_of_errors_that_fails_hides_nothing():
    fault = SoapFault("x")
    broken = LegacyAdapter(
        Old(fault), requests=str, responses=str, errors={SoapFault: lambda error: 1 / 0}
    )
    with pytest.raises(Untranslated) as raised:
        await broken("A1")
    assert raised.value.__cause__ is fault
    assert "its translation failed: ZeroDivisionError" in fault.__notes__[0]
    odd = LegacyAdapter(Old(fault), requests=str, responses=str, errors={SoapFault: lambda e: 7})
    with pytest.raises(Untranslated, match="its translation gave 7"):
        await odd("A1")


async def test_a_request_that_cannot_be_made_is_the_callers_and_nothing_is_called():
    old = Old()
    with pytest.raises(AttributeError):
        await adapter(old, policy=Policy("p", Retry(delay=0.0)))("no order")
    assert old.asked == []


async def test_a_policy_knows_the_new_terms():
    old = Old([BusyFault("1"), BusyFault("2"), "4,00"])
    policy = Policy("prices", Retry(attempts=3, delay=0.0, on=Unavailable))
    assert await adapter(old, policy=policy)(Order("A1")) == Price(4.0)
    old = Old([BusyFault("1"), "4,00"])
    assert adapter(old, policy=policy).call(Order("A1")) == Price(4.0)
    old = Old(SoapFault("no"))
    with pytest.raises(Unknown):
        await adapter(old, policy=policy)(Order("A1"))
    assert len(old.asked) == 1
    fallback = Policy("prices", Fallback(value=Price(0.0), on=Untranslated))
    assert await adapter(Old("n/a"), policy=fallback)(Order("A1")) == Price(0.0)


async def test_declared_as_a_class():
    class Prices(LegacyAdapter[Order, Price, dict, str]):
        def request(self, order):
            return {"ART": order.article}

        def response(self, text):
            return Price(float(text))

        def error(self, error):
            return Unknown(*error.args) if isinstance(error, SoapFault) else super().error(error)

    assert await Prices(Old("2"))(Order("A1")) == Price(2.0)
    with pytest.raises(Unknown):
        await Prices(Old(SoapFault("x")))(Order("A1"))
    with pytest.raises(Untranslated):
        await Prices(Old(KeyError("x")))(Order("A1"))


@everywhere
async def test_cancellation_is_no_error_of_the_old_system(how):
    work = Work()
    prices = LegacyAdapter(
        work, requests=str, responses=str, errors={Exception: lambda error: Unknown()}
    )
    async with anyio.create_task_group() as group:
        call = Call(how, partial(prices, "A1")).start(group)
        await turn_until(lambda: work.running)
        call.cancel()
        assert await call.ended() == "cancelled"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LegacyAdapter(7), "7 is no function"),
        (lambda: LegacyAdapter(print), "nothing translates a request"),
        (lambda: LegacyAdapter(print, requests=str), "nothing translates a response"),
        (lambda: adapter(Old().later, where="thread"), "where='thread'"),
        (lambda: adapter(print, where="here"), "where='here'"),
        (lambda: adapter(print, policy=Retry()), "is no Policy"),
        (lambda: adapter(lambda request: (yield)), "no one response"),
        (lambda: LegacyAdapter(print, requests=7), "requests=7"),
        (lambda: LegacyAdapter(print, requests=str, responses=Old().later), "responses="),
        (
            lambda: LegacyAdapter(print, requests=str, responses=str, errors=[KeyError]),
            "is no mapping",
        ),
        (
            lambda: LegacyAdapter(print, requests=str, responses=str, errors={"x": KeyError}),
            "'x', which is no class of exceptions",
        ),
        (
            lambda: LegacyAdapter(
                print, requests=str, responses=str, errors={KeyboardInterrupt: KeyError}
            ),
            "KeyboardInterrupt",
        ),
        (
            lambda: LegacyAdapter(print, requests=str, responses=str, errors={KeyError: int}),
            "for KeyError",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make, said):
    with pytest.raises(Misuse, match=said):
        make()
