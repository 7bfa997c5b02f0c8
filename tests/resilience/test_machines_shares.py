"""A rate and a budget's floor that machines divide."""

from __future__ import annotations

import time

import pytest

from .machines import eventually


def define(table_name, server, machines, *names, limit=1000, more="", use=True):
    group = machines(*names)
    for machine in group:
        machine(f"p = Policy({table_name!r}, RateLimit({limit}, scope={server.url!r}{more}))")
        machine("link = lambda: p._parts[0]._link.status()")
        if use:
            machine("p._parts[0]._exchange()")
    return group


def in_touch(*group):
    for machine in group:
        eventually(
            lambda machine=machine: (
                not machine("link()")["is_degraded"] and machine("link()")["machines"] == len(group)
            )
        )


def shares(*group):
    return [machine.share() for machine in group]


def test_a_machine_alone_has_all_of_it(table_name, redis_server, machines):
    (one,) = define(table_name, redis_server, machines, "one", use=False)
    assert one.share() == pytest.approx(0.1), "before it has heard of others"
    one("p._parts[0]._exchange()")
    eventually(lambda: one.share() == 1.0)


def test_idle_machines_have_equal_shares(table_name, redis_server, machines):
    group = define(table_name, redis_server, machines, "one", "two", "three")
    in_touch(*group)
    eventually(lambda: all(abs(share - 1 / 3) < 0.01 for share in shares(*group)))


def test_shares_follow_demand_and_their_sum_is_the_whole(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: max(shares(one, two)) < 0.55)
    # A second process of the first machine, which can be asked while the first is at it.
    beside = define(table_name, redis_server, machines, "one", use=False)[0]

    def sum_is_kept():
        before, other, after = beside.share(), two.share(), beside.share()
        assert before != after or after + other <= 1.001

    one.tell("hammer(p, 1.5)")
    eventually(lambda: sum_is_kept() or two.share() < 0.2)
    one.answer()
    two("thread = threading.Thread(target=hammer, args=(p, 1.5)); thread.start()")
    eventually(lambda: sum_is_kept() or two.share() > 0.7)
    two("thread.join()")
    assert sum(shares(beside, two)) <= 1.001


def test_together_they_make_no_more_calls_than_one_may(table_name, redis_server, machines):
    limit, seconds = 500, 2.0
    group = define(table_name, redis_server, machines, "one", "two", limit=limit, more=", burst=1")
    in_touch(*group)
    eventually(lambda: sum(shares(*group)) > 0.99 and max(shares(*group)) < 0.55)
    start = time.monotonic()
    for machine in group:
        machine.tell(f"hammer(p, {seconds})")
    granted = sum(machine.answer() for machine in group)
    took = time.monotonic() - start
    assert granted <= limit * took * 1.01 + len(group)


def test_without_redis_the_last_share_is_kept(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: max(shares(one, two)) < 0.55 and sum(shares(one, two)) > 0.99)
    redis_server.stop()
    for machine in (one, two):
        eventually(lambda machine=machine: machine("link()")["is_degraded"])
    before = shares(one, two)
    assert sum(before) == pytest.approx(1.0, abs=0.01)
    assert one("hammer(p, 0.5)") > 0
    assert shares(one, two) == before
    # It comes back with nothing in it, and a third that knows nothing is first to speak.
    three = define(table_name, redis_server, machines, "three")[0]
    assert three.share() == pytest.approx(0.1)
    redis_server.start()
    eventually(lambda: three("link()")["machines"] == 3)
    eventually(lambda: sum(shares(one, two, three)) < 1.01)
    assert one("events").count("degraded") == 1
    eventually(lambda: one("events")[-1] == "recovered")


def test_an_empty_redis_makes_no_share_larger_before_others_have_spoken(
    table_name, redis_server, machines
):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: max(shares(one, two)) < 0.55 and sum(shares(one, two)) > 0.99)
    for _ in range(20):
        redis_server.client.flushall()
        assert sum(shares(one, two)) <= 1.001
        time.sleep(0.05)
    in_touch(one, two)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_jumps_makes_no_share_larger(table_name, redis_server, machines, hours):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: max(shares(one, two)) < 0.55 and sum(shares(one, two)) > 0.99)
    key = f"penstock:{{{table_name}/}}:rate"
    # As if the server's clock had gone the other way by so much.
    shift = """
        for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
          local value = redis.call('HGET', KEYS[1], field)
          if field == '=born' or field == '=last' then
            redis.call('HSET', KEYS[1], field, value + ARGV[1])
          elseif field:sub(1, 1) ~= '=' then
            local report = cjson.decode(value)
            report.seen = report.seen + ARGV[1]
            redis.call('HSET', KEYS[1], field, cjson.encode(report))
          end
        end
    """
    redis_server.client.eval(shift, 1, key, hours * 3_600_000)
    for _ in range(30):
        assert sum(shares(one, two)) <= 1.001
        assert min(shares(one, two)) > 0.3
        time.sleep(0.02)
    in_touch(one, two)


def test_the_share_of_a_machine_that_ends_is_the_others(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: one.share() < 0.55)
    assert two.close() == 0
    fields = redis_server.client.hkeys(f"penstock:{{{table_name}/}}:rate")
    assert sum(not field.startswith("=") for field in fields) == 1, "it said farewell"
    eventually(lambda: one.share() > 0.99)


def test_another_process_speaks_when_the_first_is_killed(table_name, redis_server, machines):
    one, two = define(table_name, redis_server, machines, "one", "two")
    in_touch(one, two)
    eventually(lambda: one.share() < 0.55)
    sibling = define(table_name, redis_server, machines, "one")[0]
    assert sibling.share() == one.share()
    assert not sibling("p._parts[0].state.is_courier()")
    one.process.kill()
    one.process.wait()
    sibling.tell("hammer(p, 2.0)")
    eventually(lambda: two.share() < 0.2)
    sibling.answer()
    assert two("link()")["machines"] == 2, "it is the same machine"


def test_a_floor_of_retries_is_divided_and_what_calls_earn_is_not(
    table_name, redis_server, machines
):
    group = machines("one", "two")
    for machine in group:
        machine(
            f"p = Policy({table_name!r}, Retry(attempts=2, delay=0.0, budget=Budget("
            f"ratio=0.1, min_per_second=2.0, window=5.0, scope={redis_server.url!r})))"
        )
        machine("budget = p._parts[0].budget; p.call(int)")
        machine("link = lambda: budget._link.status()")
    in_touch(*group)
    eventually(lambda: all(abs(machine("budget._state.share") - 0.5) < 0.01 for machine in group))
    one, two = group
    one("fails(p, 30)")
    # Asking for more moves the floor to the second machine, but for what the first has spent of it.
    two("for _ in range(40): fails(p, 1); time.sleep(0.03)")
    spent = [machine("budget._state.snapshot()")["spent"] for machine in group]
    assert spent[0] == 8, "half of a floor of 10, and one for each ten of 31 calls"
    assert 5 < spent[1] <= 10 + 0.1 * (31 + 41) - spent[0]
