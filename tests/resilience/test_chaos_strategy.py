"""Faults on purpose."""

from __future__ import annotations

import pytest

from penstock import Chaos, Policy, Retry
from penstock.errors import Misuse
from penstock.testing import capture, instant, scripted


async def test_a_script_is_followed(anyio_backend):
    policy = Policy("chaos", Retry(attempts=3, delay=0.0), scripted(OSError("a"), 2.0, KeyError))

    async def one():
        return 1

    with instant() as clock, capture("chaos") as events:
        assert await policy.run(one) == 1
    assert clock.sleeps == [2.0]
    assert [event.kind for event in events if event.strategy == "Chaos"] == ["injected", "delayed"]


def test_a_script_takes_classes():
    policy = Policy("chaos", scripted(KeyError))
    with pytest.raises(KeyError):
        policy.call(int)
    assert policy.call(int) == 0


def test_chance():
    draws = iter([0.05, 0.5, 0.5, 0.5, 0.05])
    policy = Policy(
        "chaos",
        Chaos(
            error=OSError("x"),
            error_rate=0.1,
            latency=3.0,
            latency_rate=0.1,
            random=lambda: next(draws, 0.9),
        ),
    )
    with instant() as clock:
        with pytest.raises(OSError):
            policy.call(int)
        assert policy.call(int) == 0
        assert clock.sleeps == []
        assert policy.call(int) == 0
    assert clock.sleeps == [3.0]


def test_each_fault_is_fresh():
    template = OSError("x")
    policy = Policy("chaos", Chaos(error=template, error_rate=1.0))
    raised = []
    for _ in range(2):
        with pytest.raises(OSError, match="x") as caught:
            policy.call(int)
        raised.append(caught.value)
    assert raised[0] is not raised[1]
    assert template.__traceback__ is None


def test_a_switch():
    is_on = [False]
    policy = Policy("chaos", Chaos(error_rate=1.0, enabled=lambda: is_on[0]))
    assert policy.call(int) == 0
    is_on[0] = True
    with pytest.raises(ConnectionError):
        policy.call(int)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({}, "never do anything"),
        ({"latency": 1.0}, "never do anything"),
        ({"error_rate": 1.1}, "error_rate"),
        ({"error_rate": 1.0, "error": 5}, "makes none"),
        ({"script": ("wait",)}, "a delay in script"),
        ({"script": (-1.0,)}, "a delay in script"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(Misuse, match=match):
        Chaos(**arguments)
