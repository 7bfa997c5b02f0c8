"""Who answers a call: headers, keys, shares, and what becomes of errors."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from types import SimpleNamespace

import anyio
import pytest

from penstock import Strangler
from penstock.adapters import Compare, Rollout, forced
from penstock.errors import Misuse
from penstock.resilience import Deadline
from penstock.resilience.form import form_of


def old(*_args, **_kwargs):
    return "old"


def new(*_args, **_kwargs):
    return "new"


async def aold(*_args, **_kwargs):
    await anyio.lowlevel.checkpoint()
    return "old"


async def anew(*_args, **_kwargs):
    await anyio.lowlevel.checkpoint()
    return "new"


def test_the_old_one_answers_unless_something_says_otherwise():
    assert Strangler("s", old, new)() == "old"
    assert Strangler("s", old, new, share=1)() == "new"


async def test_async_sides_are_awaited():
    assert await Strangler("s", aold, anew)() == "old"
    assert await Strangler("s", aold, anew, share=1.0)() == "new"
    assert form_of(Strangler("s", aold, anew)) == "async"
    assert form_of(Strangler("s", old, new)) == "plain"


def test_a_key_stays_where_it_is_and_a_growing_share_only_adds():
    keys = [f"customer-{n}" for n in range(2000)]
    before: set[str] = set()
    for share in (0.01, 0.05, 0.25, 0.5, 1.0):
        strangler = Strangler("s", old, new, share=share, key=lambda key: key)
        at_new = {key for key in keys if strangler(key) == "new"}
        assert at_new == {key for key in keys if strangler(key) == "new"}
        assert before <= at_new
        assert abs(len(at_new) / len(keys) - share) < 0.04
        before = at_new
    assert len(before) == len(keys)


def test_a_key_is_placed_alike_in_every_process_and_by_name():
    code = (
        "from penstock import Strangler\n"
        "s = Strangler('s', lambda k: 0, lambda k: 1, share=0.5, key=lambda k: k)\n"
        "print(*(s(f'k{n}') for n in range(64)))"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert run[0] == run[1]
    sides = [
        [Strangler(name, old, new, share=0.5, key=lambda k: k)(f"k{n}") for n in range(64)]
        for name in ("s", "t")
    ]
    assert sides[0] != sides[1]
    assert run[0].split() == ["1" if side == "new" else "0" for side in sides[0]]


def test_keys_without_a_share():
    strangler = Strangler("s", old, new, key=lambda user, **_: user, keys={"ada", "bob"})
    assert [strangler(user) for user in ("ada", "bob", "eve")] == ["new", "new", "old"]
    by_rule = Strangler("s", old, new, key=lambda user: user, keys=lambda user: user < "b")
    assert [by_rule(user) for user in ("ada", "bob")] == ["new", "old"]


def test_a_header_decides_over_share_and_keys():
    strangler = Strangler("s", old, new, share=1.0, header="X-Side")

    def request(**headers):
        return SimpleNamespace(headers={name.replace("_", "-"): v for name, v in headers.items()})

    assert strangler(request()) == "new"
    assert strangler(request(x_side="old")) == "old"
    assert strangler(request(X_Side=" OLD ")) == "old"
    assert strangler(request(x_side="maybe")) == "new"
    assert strangler("no headers at all") == "new"
    given = Strangler("s", old, new, header="x-side", headers=lambda message: message["meta"])
    assert given({"meta": {"x-side": "new"}}) == "new"
    assert given({"meta": {}}) == "old"


async def test_forced_holds_for_its_block_and_the_tasks_begun_in_it():
    strangler = Strangler("s", aold, anew)
    answers = []

    async def call():
        answers.append(await strangler())

    with forced("new"):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
    await call()
    assert answers == ["new", "old"]
    with pytest.raises(Misuse, match="no side"), forced("newer"):
        pass


def test_the_share_may_be_set_as_it_goes():
    strangler = Strangler("s", old, new)
    strangler.share = 1.0
    assert strangler() == "new"
    for share in (1.5, -1, "half", True, float("nan")):
        with pytest.raises(Misuse, match="share="):
            strangler.share = share
    assert strangler.share == 1.0


def test_a_share_without_a_key_is_drawn():
    strangler = Strangler("s", old, new, share=0.25)
    drawn = sum(strangler() == "new" for _ in range(4000))
    assert 800 < drawn < 1200


def failing(*_args):
    raise ConnectionError("down")


async def afailing(*_args):
    raise ConnectionError("down")


async def test_the_new_ones_errors_are_the_callers_unless_the_old_one_may_answer():
    with pytest.raises(ConnectionError):
        Strangler("s", old, failing, share=1.0)()
    with pytest.raises(ConnectionError):
        await Strangler("s", aold, afailing, share=1.0)()
    safe = Strangler("s", old, failing, share=1.0, fall_back_per_call=True)
    assert safe() == "old"
    assert (safe.report().answered_by_old, safe.report().new.errors) == (1, 1)
    assert await Strangler("s", aold, afailing, share=1.0, fall_back_per_call=True)() == "old"


async def test_a_cancellation_is_not_answered_and_not_counted():
    async def cancelled():
        raise asyncio.CancelledError

    strangler = Strangler("s", aold, cancelled, share=1.0, fall_back_per_call=True)
    with pytest.raises(asyncio.CancelledError):
        await strangler()
    report = strangler.report()
    assert (report.new.answered, report.new.errors, report.answered_by_old) == (0, 0, 0)


def test_it_counts_from_many_threads():
    strangler = Strangler("s", old, new, share=0.5)
    threads = [threading.Thread(target=lambda: [strangler() for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = strangler.report()
    assert report.old.answered + report.new.answered == 2000
    assert report.old.seconds.count + report.new.seconds.count == 2000


def test_as_a_decorated_function_it_is_inspectable():
    strangler = Strangler("prices", old, new, share=0.05)
    assert repr(strangler) == "<Strangler 'prices', 0.05 to the new one>"
    assert "*args" in str(inspect.signature(strangler))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Strangler("", old, new), "'' is no name"),
        (lambda: Strangler("s", 7, new), "old=7 is no function"),
        (lambda: Strangler("s", old, 7), "new=7 is no function"),
        (lambda: Strangler("s", old, anew), "old one is plain and the new one async"),
        (lambda: Strangler("s", aold, new), "old one is async and the new one plain"),
        (lambda: Strangler("s", lambda: (yield), new), "generator function"),
        (lambda: Strangler("s", old, new, share=5), "share=5"),
        (lambda: Strangler("s", old, new, keys={"a"}), "keys= needs key="),
        (lambda: Strangler("s", old, new, key=7), "key=7"),
        (lambda: Strangler("s", old, new, key=str, keys="ada"), "keys='ada'"),
        (lambda: Strangler("s", old, new, key=str, keys=7), "keys=7"),
        (lambda: Strangler("s", old, new, header=""), "header=''"),
        (lambda: Strangler("s", old, new, headers=dict), "headers="),
        (lambda: Strangler("s", old, new, compare=True), "compare=True is no Compare"),
        (lambda: Strangler("s", old, new, rollout=0.5), "rollout=0.5 is no Rollout"),
        (lambda: Strangler("s", old, new, rollout=Rollout(), share=0.5), "a rollout that sets"),
        (lambda: Compare(sample=2), "sample=2"),
        (lambda: Compare(equal=None), "equal=None"),
        (lambda: Compare(timeout=0), "timeout=0"),
        (lambda: Compare(timeout=float("inf")), "timeout=inf"),
        (lambda: Compare(policy=Deadline(1.0)), "is no Policy"),
        (lambda: Compare(max_pending=0), "max_pending=0"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(make, said):
    with pytest.raises(Misuse, match=said):
        make()
