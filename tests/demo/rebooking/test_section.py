"""The report's section on the second half."""

from __future__ import annotations

import re

import pytest

from penstock.demo.rebooking.outcome import DeadLetter, LedgerCheck, Tally
from penstock.demo.rebooking.section import rebooked
from penstock.demo.stage import Stage
from tests.demo.outline import assert_sound
from tests.demo.rebookings import moments, rebookings, trace_of

NOTHING = {
    "confirmed": 0,
    "refused": 0,
    "reasons": {},
    "steps": (),
    "end_to_end": None,
    "events": 0,
    "dead": 0,
    "redriven": 0,
    "letters": (),
    "routes": (),
    "months": (),
    "moments": (),
    "slowest": None,
    "loop": None,
    "health": None,
}


def figure(text, title):
    return next(
        part for part in re.findall(r"<figure>.*?</figure>", text, re.DOTALL) if title in part
    )


def test_it_says_what_became_of_the_flights():
    text = rebooked(rebookings())
    outline = assert_sound(text)
    assert outline.tags.count("figure") == 9
    for words in (
        "8,255 cancelled flights, each a saga of its own: 5,134 confirmed and 3,121 refused (no",
        "(no seat 2,947, refund declined 79, gate closed 95), with seed 2013, in 21.4 s",
        "the ledger balances",
        "refunds paid, $1,234,567.89",
        "refunds reversed, $1,234.56",
        "<dd>45 ms</dd>",
        "<dt>seed</dt><dd>2013</dd>",
        "saga store    running",
    ):
        assert words in text


def test_sagas_that_were_taken_over_are_told_of():
    assert "went on in another process" not in rebooked(rebookings())
    assert "1,234 sagas went on in another process" in rebooked(rebookings(taken_over=1234))


def test_what_was_not_measured_is_left_out():
    text = rebooked(rebookings(**NOTHING))
    assert assert_sound(text).tags.count("figure") == 0
    assert "loop delay" not in text


@pytest.mark.parametrize("name", sorted(NOTHING))
def test_any_part_may_be_missing(name):
    assert_sound(rebooked(rebookings(**{name: NOTHING[name]})))


def test_one_moment_and_one_month_make_a_chart_too():
    text = rebooked(rebookings(moments=moments(1), months=(Tally("2013-01", 0, 0),)))
    assert_sound(text)
    assert "2013-01: 0 cancelled flights, 0 confirmed (–), 0 refused" in text


def test_months_are_stacked_from_the_axis_up():
    text = figure(rebooked(rebookings(months=(Tally("2013-01", 30, 10),))), "Outcomes by month")
    bars = {
        style: (float(top), float(height))
        for top, height, style in re.findall(
            r'<rect x="[^"]+" y="([^"]+)" width="[^"]+" height="([^"]+)" class="bar (\w+)"', text
        )
    }
    (confirmed, tall), (refused, low) = bars["confirmed"], bars["refused"]
    assert refused + low == pytest.approx(confirmed, abs=0.02)
    assert confirmed + tall == pytest.approx(198)
    assert tall == pytest.approx(3 * low, abs=0.1)
    assert "Jan" in text


def test_names_that_are_no_months_are_shown_as_they_are():
    text = figure(rebooked(rebookings(months=(Tally("2013-99", 1, 1),))), "Outcomes by month")
    assert ">2013-99</text>" in text


def test_queue_depth_says_every_quantity_at_the_moment():
    text = figure(rebooked(rebookings(moments=moments(3))), "Queue depth")
    assert text.count('class="line ') == 4
    found = moments(3)[1]
    assert (
        f"at 0.1 s\nmessages that wait for the consumer: {found.ready:,}\n"
        f"messages that it works on: {found.in_flight}\n"
        f"events in the outbox: {found.outbox}\ndead letters: {found.dead}"
    ) in text


def test_the_slowest_trace_is_drawn_and_printed():
    text = figure(rebooked(rebookings()), "The slowest rebooking: 2.5 s")
    tree = re.search(r"<pre>(.*)</pre>", text, re.DOTALL)[1]
    assert "└─ saga rebook 1.27 s" in tree
    assert "penstock.outbox" in text
    long = trace_of([("step", "t", min(n, 1), n, n + 1, None) for n in range(70)])
    assert "10 more spans in the tree below." in rebooked(rebookings(slowest=long))


def test_only_the_routes_with_the_most_are_listed():
    text = figure(rebooked(rebookings()), "Routes with the most cancelled flights")
    assert "10 routes of 12" in text
    assert text.count("<tr>") == 11
    assert "59\N{NO-BREAK SPACE}%" in text


def test_dead_letters_are_listed_with_attempts_and_reason():
    text = figure(rebooked(rebookings()), "Dead letters")
    assert "43 notices given up by the consumer, 43 redriven once it was repaired" in text
    assert "here are the first 8" in text
    assert "<td>2013-01-01-EV4100-EWR</td><td>4</td><td>Failed: the desk" in text
    one = rebooked(rebookings(dead=8))
    assert "here are the first" not in one


def test_a_ledger_that_does_not_balance_is_seen_at_once():
    check = LedgerCheck(False, "the ledger does not balance", ("one <b>", "two"), 12)
    text = rebooked(rebookings(check=check))
    assert_sound(text)
    verdict = text[: text.index("<dl")]
    assert 'class="card verdict failed"' in verdict
    assert "✕ the ledger does not balance" in verdict
    assert "<li>one &lt;b&gt;</li><li>two</li><li>and 12 more</li>" in verdict
    assert "verdict failed" not in rebooked(rebookings())


def test_whatever_comes_from_outside_is_text():
    hostile = '<script>alert("1")</script>\x00\x1b[31m\ud800'
    text = rebooked(
        rebookings(
            reasons={hostile: 3},
            steps=(Stage(hostile, hostile, 1, 0.1, 0.1, 0.1, 0.1),),
            letters=(DeadLetter(hostile, hostile, 1),),
            routes=(Tally(hostile, 1, 0),),
            months=(Tally(hostile, 1, 0),),
            check=LedgerCheck(False, hostile, (hostile,)),
        )
    )
    assert_sound(text)
    assert "\x1b" not in text
    text.encode()
