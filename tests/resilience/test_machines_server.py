"""A Redis that is away, slow or comes later; and what a call has to do with it: nothing."""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import threading

import pytest
import redis

from benches.system_calls import can_be_counted
from penstock import AdaptiveLimit, Bulkhead, CircuitBreaker, Policy, RateLimit
from penstock.errors import Misuse
from penstock.resilience import Budget, CircuitOpen
from penstock.testing import capture

from .machines import eventually

SCOPED = [
    pytest.param(CircuitBreaker, id="CircuitBreaker"),
    pytest.param(lambda scope: RateLimit(1, scope=scope), id="RateLimit"),
    pytest.param(lambda scope: Budget(scope=scope), id="Budget"),
]


def fail():
    raise OSError


def exchange(policy):
    return policy.circuit.snapshot()["exchange"]


def opened(policy):
    with pytest.raises(OSError):
        policy.call(fail)
    assert policy.circuit.state == "open"
    eventually(lambda: policy._parts[0].state.retry_after() == 0)


def test_a_server_that_is_away_is_told_once_and_found_when_it_comes(table_name, redis_server):
    redis_server.stop()
    policy = Policy(table_name, CircuitBreaker(1, open_for=0.2, scope=redis_server.url))
    with capture(table_name) as events:
        assert policy.call(int) == 0
        exchange_ = policy._parts[0]._link.exchange
        eventually(lambda: exchange_._pause > 0.5)  # it has tried twice
        assert [event.kind for event in events] == ["degraded"]
        assert isinstance(events[0].error, redis.ConnectionError)
        assert f"127.0.0.1:{redis_server.port}/3" in exchange(policy)["trouble"]
        opened(policy)
        assert policy.call(int) == 0, "this machine probes by itself"
        assert policy.circuit.state == "closed"
        redis_server.start()
        eventually(lambda: not exchange(policy)["is_degraded"])
    kinds = [event.kind for event in events]
    assert kinds == ["degraded", "opened", "half_opened", "closed", "recovered"]


async def test_a_call_waits_for_a_slow_server_only_where_it_may_be_a_probe(
    anyio_backend, table_name, redis_server
):
    policy = Policy(table_name, CircuitBreaker(1, open_for=0.2, scope=redis_server.url))

    async def fine():
        return "fine"

    assert await policy.run(fine) == "fine"
    eventually(lambda: not exchange(policy)["is_degraded"])
    redis_server.signal(signal.SIGSTOP)
    try:
        for _ in range(1000):
            assert await policy.run(fine) == "fine"
        opened(policy)
        assert await policy.run(fine) == "fine", "no answer is none: it probes by itself"
        assert policy.circuit.state == "closed"
        eventually(lambda: exchange(policy)["is_degraded"])
        opened(policy)
        assert await policy.run(fine) == "fine"
    finally:
        redis_server.signal(signal.SIGCONT)
    eventually(lambda: not exchange(policy)["is_degraded"])


async def test_a_probe_is_asked_for_on_every_loop(anyio_backend, table_name, redis_server):
    policy = Policy(table_name, CircuitBreaker(1, open_for=0.2, scope=redis_server.url))

    async def fine():
        return "fine"

    assert await policy.run(fine) == "fine"
    eventually(lambda: not exchange(policy)["is_degraded"])
    opened(policy)
    key = f"penstock:{{{table_name}/}}:circuit"
    lease = '{"machine":"another","fence":7,"expires":%d,"generation":1}'
    seconds, micros = redis_server.client.time()
    until = seconds * 1000 + micros // 1000 + 1500
    redis_server.client.hset(key, mapping={"=lease": lease % until, "=fence": 7})
    with pytest.raises(CircuitOpen):
        await policy.run(fine)
    assert policy.circuit.state == "open", "another machine probes"
    redis_server.client.hdel(key, "=lease")
    eventually(lambda: policy._parts[0]._link.may_probe() == "ask")
    assert await policy.run(fine) == "fine"
    assert policy.circuit.state == "closed"
    assert int(redis_server.client.hget(key, "=fence")) == 8


def test_a_restart_with_nothing_left_changes_no_circuit(table_name, redis_server, machines):
    one, two = machines("one", "two")
    for machine in (one, two):
        machine(f"p = Policy({table_name!r}, CircuitBreaker(1, scope={redis_server.url!r}))")
        machine("p._parts[0]._exchange()")
        eventually(lambda machine=machine: not machine.exchange()["is_degraded"])
    one("fails(p, 1)")
    eventually(lambda: two("p.circuit.state") == "open")
    redis_server.stop()
    eventually(lambda: two.exchange()["is_degraded"])
    assert [machine("p.circuit.state") for machine in (one, two)] == ["open", "open"]
    redis_server.start()
    for machine in (one, two):
        eventually(lambda machine=machine: machine.exchange()["machines"] == 2)
        assert machine("p.circuit.state") == "open"


def test_what_the_key_holds_otherwise_is_told(table_name, redis_server):
    redis_server.client.set(f"penstock:{{{table_name}/}}:circuit", "somebody else's")
    policy = Policy(table_name, CircuitBreaker(1, scope=redis_server.url))
    with capture(table_name) as events:
        assert policy.call(int) == 0
        eventually(lambda: events)
    assert "WRONGTYPE" in exchange(policy)["trouble"]


def exchanging():
    gc.collect()  # a fused call and its policy know each other
    return [it for it in threading.enumerate() if it.name.startswith("penstock-redis")]


def test_the_thread_comes_with_the_first_call_and_goes_with_the_last_policy(
    table_name, redis_server
):
    eventually(lambda: not exchanging())
    policy = Policy(table_name, CircuitBreaker(1, scope=redis_server.url))
    other = Policy(f"{table_name}-2", RateLimit(10, scope=redis_server.url))
    assert not exchanging(), "a policy that nobody uses costs nothing"
    assert (policy.call(int), other.call(int)) == (0, 0)
    assert len(exchanging()) == 1
    del policy, other
    eventually(lambda: not exchanging())
    again = Policy(table_name, CircuitBreaker(1, scope=redis_server.url))
    assert again.call(int) == 0
    eventually(lambda: not exchange(again)["is_degraded"])


def test_a_forked_child_has_a_thread_of_its_own(table_name, redis_server, machines):
    one, two = machines("one", "two")
    define = f"p = Policy({table_name!r}, CircuitBreaker(1, scope={redis_server.url!r}))"
    for machine in (one, two):
        machine(define)
        machine("p.circuit; p._parts[0]._exchange()")
        eventually(lambda machine=machine: not machine.exchange()["is_degraded"])
    # In the child; the parent ends, so that nobody else hears for that machine.
    two("import os, signal; child = os.fork(); child and os._exit(0)")
    two("names = [it.name for it in threading.enumerate()]")
    assert sum(name.startswith("penstock-redis") for name in two("names")) == 1
    one("fails(p, 1)")
    eventually(lambda: two("p.circuit.state") == "open")
    assert not two.exchange()["is_degraded"]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_an_interpreter_ends_whatever_the_server_does(
    table_name, redis_server, machines, is_stopped
):
    (one,) = machines("one")
    one(f"p = Policy({table_name!r}, CircuitBreaker(1, scope={redis_server.url!r})); p.call(int)")
    eventually(lambda: not one.exchange()["is_degraded"])
    if is_stopped:
        redis_server.signal(signal.SIGSTOP)
    try:
        assert one.close() == 0
    finally:
        redis_server.signal(signal.SIGCONT)
    # What a stopped server got before it was given up counts, too.
    fields = redis_server.client.hkeys(f"penstock:{{{table_name}/}}:circuit")
    assert is_stopped or all(field.startswith("=") for field in fields), "it said farewell"


@pytest.mark.skipif(not can_be_counted(), reason="no strace, or it may not trace here")
def test_a_closed_circuit_makes_no_system_call(table_name, redis_server, machines, tmp_path):
    (one,) = machines("one")
    one(f"p = Policy({table_name!r}, CircuitBreaker(1, scope={redis_server.url!r}),)")
    one("import ctypes; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_long(-1), 0, 0, 0)")
    one("p.call(int)")
    eventually(lambda: not one.exchange()["is_degraded"])
    log = tmp_path / "strace"
    # Without -f: of the thread that calls alone.
    command = ["strace", "-o", str(log), "-p", str(one.process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert "attached" in tracer.stderr.readline()
        one("import os; os.getppid(); [p.call(int) for _ in range(20000)]; os.getppid()")
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    # As a call that was made, at the beginning of a line; what was read says it, too.
    _, between, _ = re.split(r"^getppid\(", log.read_text(), flags=re.MULTILINE)
    made = set(re.findall(r"^(\w+)\(", between, re.MULTILINE))
    # What the interpreter's lock and its memory need; nothing that reads, writes or waits.
    assert made <= {"futex", "sched_yield", "mmap", "munmap", "madvise", "brk", "mprotect"}


@pytest.mark.parametrize("make", SCOPED)
@pytest.mark.parametrize(
    "scope",
    [
        "redis://",
        "redis:///0",
        "redis://host:port/0",
        "redis://host:99999/0",
        "redis://host/name",
        "unix://",
    ],
)
def test_an_address_that_is_none_is_refused(make, scope):
    with pytest.raises(Misuse, match="is no address of a Redis") as refused:
        make(scope=scope)
    assert "redis://[user:password@]host[:port][/database]" in refused.value.hint


@pytest.mark.parametrize("make", SCOPED)
@pytest.mark.parametrize("scope", ["host", "http://host", "REDIS", 5, None, ["machine"]])
def test_a_scope_there_is_not_is_refused(make, scope):
    with pytest.raises(Misuse, match="is unknown"):
        make(scope=scope)


@pytest.mark.parametrize("make", SCOPED)
def test_a_missing_client_is_named_when_it_is_asked_for(make, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(Misuse, match="needs the redis client") as refused:
        make(scope="redis://host:6379/0")
    assert refused.value.hint == "pip install 'penstock[redis]'"


def test_what_has_no_scope_over_redis_says_why():
    with pytest.raises(Misuse, match="no redis scope for Bulkhead") as refused:
        Bulkhead(5, scope="redis://host")
    assert "divide max_concurrent" in refused.value.hint
    with pytest.raises(Misuse, match="no redis scope for AdaptiveLimit"):
        AdaptiveLimit(scope="redis://host")


def test_a_password_is_not_shown():
    scope = "redis://app:secret@host:6379/0"
    policy = Policy("machines", CircuitBreaker(scope=scope))
    assert "secret" not in policy.describe()
    assert "redis://***@host:6379/0" in policy.describe()
    for wrong in ("redis://app:secret@host:x/0", "http://app:secret@host"):
        with pytest.raises(Misuse) as refused:
            RateLimit(1, scope=wrong)
        assert "secret" not in str(refused.value)
