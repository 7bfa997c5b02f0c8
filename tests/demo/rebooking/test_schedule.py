"""The schedule: what of a file it keeps, in which order, and what is looked up in it."""

import numpy as np
import pytest

from penstock.demo.rebooking.schedule import FLIGHT


def keys(schedule):
    return [schedule.key(place) for place in range(len(schedule))]


def one_route(schedule):
    (route,) = schedule.routes
    return route


def candidates(schedule, number):
    """The flight numbers of the candidates of the flight with a number."""
    place = schedule.flights["flight"].tolist().index(number)
    found = [route for route in schedule.routes if route.start <= place < route.stop]
    return schedule.candidates(found[0], place)["flight"].tolist()


def test_a_flight_takes_no_more_than_28_bytes():
    assert FLIGHT.itemsize == 28


def test_an_empty_file(header, schedule_of):
    schedule = schedule_of([header])
    assert len(schedule) == schedule.cancellations == 0
    assert schedule.routes == ()


def test_the_order_is_that_of_route_moment_and_key_as_text(header, line, schedule_of):
    flights = [
        {"dest": "ORD", "hour": 9},
        {"dest": "ORD", "hour": 8, "flight": 15},
        {"dest": "ORD", "hour": 8, "flight": 2},
        {"dest": "ORD", "hour": 8, "carrier": "A1", "flight": 50},
        {"dest": "ORD", "hour": 8, "carrier": "A", "flight": 1},
        {"dest": "ORD", "hour": 8, "carrier": "A1+", "flight": 5},
        {"dest": "ATL", "hour": 23, "flight": 3},
        {"origin": "JFK", "dest": "ATL", "hour": 1},
    ]
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert [(route.name, route.start, route.stop) for route in schedule.routes] == [
        ("EWR-ATL", 0, 1),
        ("EWR-ORD", 1, 7),
        ("JFK-ATL", 7, 8),
    ]
    assert keys(schedule) == [
        "2013-01-01-UA3-EWR",
        # As in ASCII: the plus comes before the dash, the dash before the digits.
        "2013-01-01-A1+5-EWR",
        "2013-01-01-A1-EWR",
        "2013-01-01-A150-EWR",
        "2013-01-01-UA15-EWR",
        "2013-01-01-UA2-EWR",
        "2013-01-01-UA1545-EWR",
        "2013-01-01-UA1545-JFK",
    ]


def test_the_first_line_of_a_key_counts(header, line, schedule_of):
    flights = [
        {"hour": 9, "dest": "ORD", "distance": 1},
        {"hour": 8, "dest": "ATL", "distance": 2},
        {"hour": 9, "dest": "ORD", "distance": 3, "dep_time": "NA"},
        {"hour": 9, "dest": "ORD", "distance": 4, "day": 2},
    ]
    for block in (1, 2, 10):
        schedule = schedule_of([header, *(line(**each) for each in flights)], block)
        assert schedule.flights["distance"].tolist() == [1, 4]
        assert schedule.cancellations == 0


def test_keys_are_compared_as_text(header, line, schedule_of):
    flights = [{"carrier": "A", "flight": 15, "distance": 1}, {"carrier": "A1", "flight": 5}]
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert schedule.flights["distance"].tolist() == [1]


def test_candidates_leave_later_and_within_36_hours(header, line, schedule_of):
    moments = [(1, 5, 14), (1, 5, 15), (1, 5, 15), (1, 5, 16), (2, 17, 15), (2, 17, 16), (3, 0, 0)]
    flights = [
        {"day": day, "hour": hour, "minute": minute, "flight": number}
        for number, (day, hour, minute) in enumerate(moments)
    ]
    flights[1]["dep_time"] = "NA"
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert schedule.cancelled(one_route(schedule)) == [1]
    assert candidates(schedule, 1) == [3, 4]


def test_cancelled_flights_are_no_candidates_and_other_routes_neither(header, line, schedule_of):
    flights = [
        {"hour": 5, "flight": 0, "dep_time": "NA"},
        {"hour": 6, "flight": 1, "dep_time": "NA"},
        {"hour": 7, "flight": 2},
        {"hour": 8, "flight": 3, "dest": "ORD"},
        {"hour": 9, "flight": 4, "origin": "JFK"},
        {"hour": 10, "flight": 5},
    ]
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert candidates(schedule, 0) == [2, 5]
    assert candidates(schedule, 1) == [2, 5]


def test_midnights_months_and_years_are_passed(header, line, schedule_of):
    flights = [
        {"month": 12, "day": 31, "hour": 23, "flight": 0, "dep_time": "NA"},
        {"year": 2014, "hour": 0, "flight": 1},
        {"year": 2014, "day": 2, "hour": 11, "minute": 0, "flight": 2},
        {"year": 2014, "day": 2, "hour": 11, "minute": 16, "flight": 3},
    ]
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert candidates(schedule, 0) == [1, 2]


def test_the_extremes_that_the_parser_lets_through(header, line, schedule_of):
    most = 10**9 - 1
    flights = [
        {"year": 1, "flight": most, "distance": most, "dep_time": "NA"},
        {"year": 9999, "month": 2, "day": 30, "flight": 0, "distance": 0},
    ]
    schedule = schedule_of([header, *(line(**each) for each in flights)])
    assert keys(schedule) == ["0001-01-01-UA999999999-EWR", "9999-02-30-UA0-EWR"]
    assert schedule.flights["distance"].tolist() == [most, 0]
    march = np.datetime64("9999-03-02T05:15", "m").astype(np.int64)
    assert schedule.moments[1] == march


@pytest.mark.parametrize(
    ("tails", "capacities"),
    [
        # 55, 182, 20 and 2 seats; N0 is not known.
        ({"ORD": ["N10156", "N102UW", "N0"]}, {"ORD": [55, 182, 55]}),
        ({"ORD": ["N10156", "N102UW", "N102UW", "NA"]}, {"ORD": [55, 182, 182, 182]}),
        (
            {"ORD": ["N10156", "N10156", "N102UW"], "ATL": ["N0"]},
            {"ORD": [55, 55, 182], "ATL": [55]},
        ),
        ({"ORD": ["N0", "NA"]}, {"ORD": [150, 150]}),
    ],
)
def test_capacities(header, line, schedule_of, tails, capacities):
    lines = [header]
    for dest, there in tails.items():
        for number, tail in enumerate(there):
            lines.append(line(dest=dest, tailnum=tail, hour=number, flight=len(lines)))
    schedule = schedule_of(lines)
    found = {
        route.dest: schedule.flights["seats"][route.start : route.stop].tolist()
        for route in schedule.routes
    }
    assert found == capacities
