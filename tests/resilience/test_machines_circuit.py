"""A circuit of several machines: who believes whom, and who probes."""

from __future__ import annotations

import signal
import time

from .machines import eventually

RUNNING = "running"


def define(table_name, server, machines, *names, open_for=60.0, more=""):
    """The policy `p` on machines of these names, each in touch with the others."""
    group = machines(*names)
    for machine in group:
        machine(
            f"p = Policy({table_name!r}, CircuitBreaker(3, open_for={open_for}, "
            f"scope={server.url!r}{more}))"
        )
        # What is used last has succeeded last: no evidence two seconds later.
        machine("p.circuit; p._parts[0]._exchange()")
    for machine in group:
        eventually(
            lambda machine=machine: (
                machine.exchange()["machines"] == len(group)
                and not machine.exchange()["is_degraded"]
            )
        )
    return group


def state(machine):
    return machine("p.circuit.state")


def test_an_opening_is_followed_where_nothing_speaks_against_it(table_name, redis_server, machines):
    one, two, three = define(table_name, redis_server, machines, "one", "two", "three")
    one("fails(p, 3)")
    eventually(lambda: state(two) == state(three) == "open")
    assert two("p.call(int)")["raised"] == "CircuitOpen"
    assert two("events") == ["opened_elsewhere", "rejected"]
    snapshot = two("p.circuit.snapshot()")
    assert snapshot["is_followed"]
    for _ in range(25):  # through the next report of each
        assert two.exchange()["reporters"] == 1, "one that only follows is no reporter"
        time.sleep(0.05)
    after = two("p._parts[0].state.retry_after()") / 1e9
    assert 50.0 < after < 60.0, "as long as it is open there"
    assert not one("p.circuit.snapshot()")["is_followed"]


def test_a_machine_whose_calls_succeed_follows_the_majority_alone(
    table_name, redis_server, machines
):
    one, two, three = define(table_name, redis_server, machines, "one", "two", "three")
    three("p.call(int)")
    one("fails(p, 3)")

    def has_heard():
        three("p.call(int)")
        return three.exchange()["reporters"] == 1

    eventually(has_heard)
    assert state(three) == "closed", "one bad node does not shut it out"
    two("p.circuit.reset()")  # it had followed the first
    two("fails(p, 3)")
    eventually(lambda: three("p.call(int)") and state(three) == "open")
    assert three("p.circuit.snapshot()")["is_followed"]


def test_one_machine_probes_at_a_time_and_its_success_closes_those_that_followed(
    table_name, redis_server, machines
):
    one, two, three = define(
        table_name, redis_server, machines, "one", "two", "three", open_for=0.5
    )
    one("fails(p, 3)")
    eventually(lambda: state(two) == state(three) == "open")
    for machine in (one, two, three):
        eventually(lambda machine=machine: machine("p._parts[0].state.retry_after()") == 0)
    assert two("begin('probe', p)") == RUNNING
    assert one("p.call(int)")["raised"] == "CircuitOpen"
    assert three("p.call(int)")["raised"] == "CircuitOpen"
    assert two("begin('second', p)") == "CircuitOpen", "a machine's own number of probes holds"
    assert state(one) == state(three) == "open", "nobody else has begun to probe"
    assert two("finish('probe')") == "done"
    assert state(two) == "closed"
    # Who opened it by what it saw tries for itself; the others wait for that.
    eventually(lambda: one("p.call(int)") == 0)
    assert state(one) == "closed"
    eventually(lambda: state(three) == "closed")
    assert three("events")[-1] == "closed_elsewhere"


def test_a_failed_probe_begins_everybodys_time_anew(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two", open_for=1.0)
    one("fails(p, 3)")
    eventually(lambda: state(two) == "open")
    eventually(lambda: two("p._parts[0].state.retry_after()") == 0)
    eventually(lambda: one("p._parts[0].state.retry_after()") == 0)
    assert two("begin('probe', p, OSError())") == RUNNING
    generation = one("p.circuit.snapshot()")["generation"]
    assert two("finish('probe')") == "OSError"
    eventually(lambda: one("p.circuit.snapshot()")["generation"] == generation + 1)
    assert state(one) == "open"
    assert one("p.circuit.snapshot()")["is_followed"]
    assert one("p._parts[0].state.retry_after()") > 0


def test_a_prober_that_is_killed_makes_room(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two", open_for=0.3)
    one("fails(p, 3)")
    eventually(lambda: state(two) == "open")
    eventually(lambda: one("p._parts[0].state.retry_after()") == 0)
    assert one("begin('probe', p)") == RUNNING
    assert two("p.call(int)")["raised"] == "CircuitOpen"
    one.signal(signal.SIGKILL)
    one.process.wait()
    eventually(lambda: two("p.call(int)") == 0)
    assert state(two) == "closed"


def test_a_prober_that_was_stopped_does_not_speak_for_others(table_name, redis_server, machines):
    one, two, three = define(
        table_name, redis_server, machines, "one", "two", "three", open_for=0.3
    )
    one("fails(p, 3)")
    eventually(lambda: state(two) == state(three) == "open")
    eventually(lambda: one("p._parts[0].state.retry_after()") == 0)
    assert one("begin('probe', p)") == RUNNING
    one.signal(signal.SIGSTOP)
    # The lease runs out, and another probes.
    eventually(lambda: two("begin('probe', p, OSError())") == RUNNING)
    one.signal(signal.SIGCONT)
    assert one("finish('probe')") == "done"
    assert state(one) == "closed"
    fence = redis_server.client.hget(f"penstock:{{{table_name}/}}:circuit", "=fence")
    assert int(fence) >= 2, "the second lease has a fence of its own"
    eventually(lambda: three.exchange()["machines"] == 3)
    assert state(three) == "open", "the outcome of a lease that had run out closes nobody else"
    assert two("finish('probe')") == "OSError"
    assert state(two) == "open"


def test_what_was_closed_by_hand_is_not_opened_by_the_same_opening(
    table_name, redis_server, machines
):
    one, two = define(table_name, redis_server, machines, "one", "two")
    one("fails(p, 3)")
    eventually(lambda: state(two) == "open")
    two("p.circuit.reset()")
    assert state(two) == "closed"
    serial = f"penstock:{{{table_name}/}}:circuit"
    before = redis_server.client.hget(serial, "=last")
    eventually(lambda: int(redis_server.client.hget(serial, "=last")) > int(before) + 1500)
    assert state(two) == "closed"
    one("p.circuit.reset()")
    one("fails(p, 3)")
    eventually(lambda: state(two) == "open")


def test_a_machine_that_comes_later_hears_of_it(table_name, redis_server, machines):
    (one,) = define(table_name, redis_server, machines, "one")
    one("fails(p, 3)")
    assert state(one) == "open"
    two = machines("two")[0]
    two(f"p = Policy({table_name!r}, CircuitBreaker(3, open_for=60.0, scope={redis_server.url!r}))")
    two("p._parts[0]._exchange()")
    eventually(lambda: state(two) == "open")


def test_openings_that_are_soon_over_leave_nobody_open(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    for number in range(40):
        # While the other is about to follow, or has just done so and not said it yet.
        one(f"fails(p, 3); time.sleep({number * 1e-4}); p.circuit.reset()")
        eventually(lambda: two.exchange()["reporters"] == 0 and state(two) == "closed")


def test_keys_are_circuits_of_their_own(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    for machine in (one, two):
        machine("p = p.keyed(lambda *_: 'a')")
        machine("a, b = p.for_key('a'), p.for_key('b')")
        machine("a._parts[0]._exchange(); b._parts[0]._exchange()")
    one("fails(a, 3)")
    eventually(lambda: two("a.circuit.state") == "open")
    assert two("b.circuit.state") == "closed"


def test_two_definitions_of_one_name_are_told_and_kept_apart(table_name, redis_server, machines):
    (one,) = define(table_name, redis_server, machines, "one")
    two = machines("two")[0]
    two(f"p = Policy({table_name!r}, CircuitBreaker(4, scope={redis_server.url!r}))")
    two("p._parts[0]._exchange()")
    eventually(lambda: two("events") == ["conflicted"])
    assert "failure_threshold=3" in two.exchange()["trouble"]
    one("fails(p, 3)")
    assert two("p.call(int)") == 0
    one.close()
    # Once nobody lives by the other definition, this one's holds.
    eventually(lambda: not two.exchange()["is_degraded"])
    assert two("events") == ["conflicted", "recovered"]
