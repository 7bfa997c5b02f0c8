"""The ledger check: silent about a run that went well, and loud about anything that did not."""

from __future__ import annotations

import ast
import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from statistics import median_low

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock.demo.check
from penstock.demo.check import Files, Unreadable, check
from penstock.demo.check.flights import _median_low
from penstock.demo.data import flights_file
from tests.demo.small_year import TABLES, write_world

# A year in which a flight ends in each of the ways there are.
NUMBER = 24


@pytest.fixture(scope="module")
def good(tmp_path_factory, header, line):
    return write_world(tmp_path_factory.mktemp("world"), header, line, NUMBER)


@pytest.fixture
def world(good, tmp_path):
    """A copy to spoil."""
    return good.copy(tmp_path)


def assert_found(world, *words):
    """The check says no, and one sentence has all the words."""
    verdict = world.verdict()
    assert not verdict.balances
    assert any(all(word in sentence for word in words) for sentence in verdict.differences), (
        verdict.differences
    )


def test_it_imports_nothing_but_the_standard_library_and_itself():
    modules = list(Path(penstock.demo.check.__file__).parent.glob("*.py"))
    assert len(modules) > 5
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1, f"{path.name} reaches out of its folder"
                names = []
            else:
                assert getattr(node, "id", "") not in {"__import__", "eval", "exec"}
                continue
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{path.name}: {name}"
                assert name != "importlib"


@pytest.mark.parametrize("number", range(1, 9))
def test_a_run_that_went_well_balances(tmp_path, header, line, number):
    verdict = write_world(tmp_path, header, line, number).verdict()
    assert verdict.balances, verdict.differences


def test_the_verdict_in_one_line(good):
    verdict = good.verdict()
    [text] = verdict.lines()
    assert text == (
        "the ledger balances: 134 cancelled flights, 100 confirmed, "
        "34 refused (30 no seat, 2 refund declined, 2 gate closed), "
        "67 refunds of $31,969.55, 2 reversals of $1,656.05, 8 repeated calls"
    )
    assert verdict.as_json()["refused"] == {"no seat": 30, "refund declined": 2, "gate closed": 2}


@pytest.mark.parametrize("form", ["gz", "zip"])
def test_compressed_files_are_recognised_by_content(world, tmp_path, form):
    packed = tmp_path / "flights.data"
    if form == "gz":
        packed.write_bytes(gzip.compress(world.files.data.read_bytes()))
    else:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(world.files.data, "flights.csv")
    assert check(world.files._replace(data=packed), world.seed).balances


def test_quoted_fields_and_a_byte_order_mark(world, tmp_path):
    data = tmp_path / "flights.csv"
    text = world.files.data.read_bytes().replace(b"IAH", b'"IAH"')
    data.write_bytes(b"\xef\xbb\xbf" + text)
    assert check(world.files._replace(data=data), world.seed).balances


def test_another_seed_is_another_run(good):
    verdict = check(good.files, good.seed + 1)
    assert not verdict.balances
    assert verdict.differences[0] == "the run: demo_run: expected seed 25, found seed 24"
    assert len(verdict.differences) == 10
    assert verdict.lines()[-1] == f"and {verdict.more:,} more"
    assert verdict.more > 100


# One mutation for each rule: what is done, of which flight, and the words that tell of it.
DELETED = {
    "no rebooking": ("rebooking", "confirmed", "rebooking", "found none"),
    "no saga": ("penstock_saga", "confirmed", "saga", "found none"),
    "no notice": ("notice", "confirmed", "notice", "found none"),
    "no hold": ("seat_hold", "refunded", "seats held", "found none"),
}


@pytest.mark.parametrize(("table", "example", "what", "found"), DELETED.values(), ids=DELETED)
def test_a_row_that_is_missing(world, table, example, what, found):
    key = world.examples[example]
    column = "key" if table == "penstock_saga" else "case_key"
    world.change((f"DELETE FROM {table} WHERE {column} = ?", (key,)))
    assert_found(world, key, what, found)


DOUBLED = ("rebooking", "notice", "seat_hold", "seat_inventory")


@pytest.mark.parametrize("table", DOUBLED)
def test_a_row_that_is_there_twice(world, table):
    key = world.examples["confirmed"]
    with closing(sqlite3.connect(world.files.database)) as connection:
        if table == "seat_inventory":
            query = "SELECT flight FROM seat_hold WHERE case_key = ?"
            [key, *_] = connection.execute(query, (key,)).fetchone()
    column = "flight" if table == "seat_inventory" else "case_key"
    world.change((f"INSERT INTO {table} SELECT * FROM {table} WHERE {column} = ?", (key,)))
    assert_found(world, key, "expected one, found another")


CHANGED = {
    "wrong outcome": (
        "confirmed",
        "UPDATE rebooking SET outcome = 'refused' WHERE case_key = ?",
        "expected outcome 'confirmed', found outcome 'refused'",
    ),
    "wrong reason": (
        "declined",
        "UPDATE rebooking SET reason = 'gate closed' WHERE case_key = ?",
        "expected reason 'refund declined', found reason 'gate closed'",
    ),
    "a party too large": (
        "no_seat",
        "UPDATE rebooking SET party = party + 1 WHERE case_key = ?",
        "expected party",
    ),
    "a refund off by a cent": (
        "refunded",
        "UPDATE rebooking SET refund = refund + 1 WHERE case_key = ?",
        "expected refund",
    ),
    "no event": (
        "confirmed",
        "UPDATE rebooking SET event = NULL WHERE case_key = ?",
        "expected the id of its event",
    ),
    "an event of its own making": (
        "confirmed",
        "UPDATE rebooking SET event = (SELECT max(event) FROM notice) || '+' WHERE case_key = ?",
        "notice: expected event",
    ),
    "a notice of another outcome": (
        "confirmed",
        "UPDATE notice SET outcome = 'refused' WHERE case_key = ?",
        "notice: expected outcome 'confirmed', found outcome 'refused'",
    ),
    "a saga that ended otherwise": (
        "confirmed",
        "UPDATE penstock_saga SET state = 'compensated' WHERE key = ?",
        "saga: expected state 'completed', found state 'compensated'",
    ),
    "a parked saga": (
        "reversed",
        "UPDATE penstock_saga SET state = 'parked' WHERE key = ?",
        "saga: expected state 'compensated', found state 'parked'",
    ),
    "a saga that still runs": (
        "no_seat",
        "UPDATE penstock_saga SET state = 'running' WHERE key = ?",
        "found state 'running'",
    ),
    "a saga of another name": (
        "confirmed",
        "UPDATE penstock_saga SET name = 'other' WHERE key = ?",
        "(saga 'other'): saga: expected none",
    ),
    "seats not given back": (
        "no_seat",
        "INSERT INTO seat_hold SELECT ?, flight, 1 FROM seat_inventory LIMIT 1",
        "seats held: expected none, found seats 1",
    ),
    "an event that is left": (
        "confirmed",
        "INSERT INTO penstock_outbox_event (id, key) VALUES ('e', ?)",
        "found an event that was never published",
    ),
    "an event that could not be published": (
        "confirmed",
        "INSERT INTO penstock_outbox_dead (id, key) VALUES ('e', ?)",
        "found an event that could not be published",
    ),
    "a message that is left": (
        "confirmed",
        "INSERT INTO penstock_message (id, key) VALUES ('e', ?)",
        "found a message that was never handled",
    ),
    "a dead letter": (
        "confirmed",
        "INSERT INTO penstock_message_dead (id, key) VALUES ('e', ?)",
        "found a dead letter",
    ),
}


@pytest.mark.parametrize(("example", "statement", "words"), CHANGED.values(), ids=CHANGED)
def test_a_row_that_is_not_as_it_should_be(world, example, statement, words):
    key = world.examples[example]
    world.change((statement, (key,)))
    assert_found(world, key, words)


@pytest.mark.parametrize(
    ("column", "by"), [("held", 1), ("held", -1), ("sold", 1), ("capacity", 9)]
)
def test_a_flight_with_other_seats(world, column, by):
    key = world.examples["confirmed"]
    flight = "(SELECT flight FROM seat_hold WHERE case_key = ? LIMIT 1)"
    world.change(
        (f"UPDATE seat_inventory SET {column} = {column} + {by} WHERE flight = {flight}", (key,))
    )
    [sentence] = world.verdict().differences
    assert f"inventory: expected {column} " in sentence


def test_a_hold_too_many_on_the_flight_of_another(world):
    key = world.examples["confirmed"]
    world.change(
        ("UPDATE seat_hold SET seats = seats + 1 WHERE case_key = ?", (key,)),
        ("UPDATE seat_inventory SET held = held + 1 WHERE held > 0",),
    )
    assert_found(world, key, "seats held: expected seats")


@pytest.mark.parametrize(
    "table", [line.split()[2] for line in TABLES.splitlines() if "CREATE" in line]
)
def test_a_missing_table_is_no_empty_one(world, table):
    world.change((f"DROP TABLE {table}",))
    assert_found(world, f"{table}: expected this table, found none")


def test_a_missing_column_is_named(world):
    world.change(("ALTER TABLE rebooking DROP COLUMN party",))
    assert_found(world, "rebooking: expected a column party, found none")


def test_a_run_of_other_flights(world):
    world.change(("UPDATE demo_run SET cancelled = cancelled - 1",))
    assert_found(world, "the run: demo_run: expected cancelled 134, found cancelled 133")


def spoil(world, example, kind, change):
    """Put what `change` makes of one entry in its place; returns the flight's key."""
    key, entries = world.examples[example], []
    for entry in world.entries():
        hit = entry["case"] == key and entry["kind"] == kind and not entry["repeat"]
        entries += change(entry) if hit else [entry]
    world.write_entries(entries)
    return key


SPOILED = {
    "no refund": ("refunded", "refund", lambda e: [], "refund: expected cents"),
    "no reversal": ("reversed", "reversal", lambda e: [], "reversal: expected cents"),
    "paid twice under another key": (
        "refunded",
        "refund",
        lambda e: [e, {**e, "key": "another"}],
        "refund: expected one, found another",
    ),
    "paid twice under the same key": (
        "refunded",
        "refund",
        lambda e: [e, e],
        "found a second effect",
    ),
    "a cent more": (
        "refunded",
        "refund",
        lambda e: [{**e, "cents": e["cents"] + 1}],
        "refund: expected cents",
    ),
    "a reversal of less": (
        "reversed",
        "reversal",
        lambda e: [{**e, "cents": e["cents"] - 1}],
        "reversal: expected cents",
    ),
    "a reversal that nobody asked for": (
        "refunded",
        "refund",
        lambda e: [e, {**e, "key": "another", "kind": "reversal"}],
        "reversal: expected none",
    ),
    "a repeat of nothing": (
        "refunded",
        "refund",
        lambda e: [{**e, "key": "another", "repeat": True}, e],
        "expected the call that it repeats before it, found none",
    ),
    "a repeat of something else": (
        "refunded",
        "refund",
        lambda e: [e, {**e, "cents": 1, "repeat": True}],
        "found refund of 1 cents",
    ),
}


@pytest.mark.parametrize(("example", "kind", "change", "words"), SPOILED.values(), ids=SPOILED)
def test_money_that_went_wrong(world, example, kind, change, words):
    assert_found(world, spoil(world, example, kind, change), words)


@pytest.mark.parametrize("example", ["no_seat", "declined"])
def test_a_refund_that_should_not_be(world, example):
    key = world.examples[example]
    entry = {"key": "another", "kind": "refund", "case": key, "cents": 5, "repeat": False}
    world.write_entries([*world.entries(), entry])
    assert_found(world, key, "refund: expected none, found cents 5")


def test_a_reversal_before_its_refund(world):
    world.write_entries(sorted(world.entries(), key=lambda e: (e["kind"] == "refund", e["repeat"])))
    assert_found(world, world.examples["reversed"], "reversal: expected after its refund")


def test_a_repeated_call_is_no_fault(world):
    before = world.verdict().repeated_calls
    spoil(world, "refunded", "refund", lambda e: [e, {**e, "repeat": True}])
    verdict = world.verdict()
    assert verdict.balances
    assert verdict.repeated_calls == before + 1


TORN = (
    '{"key": "k", "ki',
    "[]",
    "{}",
    '{"key":"k","kind":"gift","case":"c","cents":1,"repeat":false}',
)


@pytest.mark.parametrize("text", TORN)
def test_a_line_that_is_no_entry(world, text):
    with world.files.ledger.open("a") as file:
        file.write(text)
    assert_found(world, f"line {len(world.files.ledger.read_text().splitlines())} of the ledger")


# Table → columns that the check knows; the rest of a row is not its business.
CHECKED = {
    "demo_run": ("seed", "cancelled"),
    "rebooking": ("case_key", "outcome", "reason", "party", "refund", "event"),
    "penstock_saga": ("name", "key", "state"),
    "seat_hold": ("case_key", "flight", "seats"),
    "seat_inventory": ("flight", "capacity", "sold", "held"),
    "notice": ("event", "case_key", "outcome"),
}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_of_any_row_is_found(good, tmp_path_factory, data):
    world = good.copy(tmp_path_factory.mktemp("mutated"))
    table = data.draw(st.sampled_from(sorted(CHECKED)))
    with closing(sqlite3.connect(world.files.database)) as connection, connection:
        rowids = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
        row = data.draw(st.sampled_from(rowids))
        kind = data.draw(st.sampled_from(("delete", "double", "change", "swap")))
        if kind == "delete":
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
        elif kind == "double":
            columns = ", ".join(CHECKED[table])
            connection.execute(
                f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table} WHERE rowid = ?",
                (row,),
            )
        else:
            column = data.draw(st.sampled_from(CHECKED[table]))
            query = f"SELECT {column} FROM {table} WHERE rowid = ?"
            before = connection.execute(query, (row,)).fetchone()[0]
            if kind == "swap":  # for what stands in another row
                other = data.draw(st.sampled_from(rowids))
                after = connection.execute(query, (other,)).fetchone()[0]
            elif isinstance(before, int):
                after = before + data.draw(st.integers(-5, 5))
            else:
                after = data.draw(st.text(max_size=3) | st.none() | st.integers(-9, 9))
            if after == before or (column == "reason" and not after and not before):
                return
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (after, row))
    assert not world.verdict().balances


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_change_of_any_payment_is_found(good, tmp_path_factory, data):
    world = good.copy(tmp_path_factory.mktemp("mutated"))
    entries = world.entries()
    place = data.draw(st.integers(0, len(entries) - 1))
    entry = entries[place]
    changes = {
        "kind": {"refund": "reversal", "reversal": "refund"}[entry["kind"]],
        "case": data.draw(st.sampled_from([e["case"] for e in entries] + ["nobody"])),
        "key": data.draw(st.sampled_from([e["key"] for e in entries])),
        "cents": entry["cents"] + data.draw(st.integers(-3, 3)),
        "repeat": not entry["repeat"],
    }
    name = data.draw(st.sampled_from(sorted(changes)))
    if changes[name] == entry[name]:
        return
    entries[place] = {**entry, name: changes[name]}
    world.write_entries(entries)
    assert not world.verdict().balances


def run(world, *options):
    files = world.files._asdict()
    named = [part for name, path in files.items() if path for part in (f"--{name}", str(path))]
    return subprocess.run(
        [sys.executable, "-m", "penstock.demo.check", *named, "--seed", str(world.seed), *options],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_program_says_yes_and_leaves_nothing_behind(world):
    folder = world.files.database.parent
    before = sorted(folder.iterdir())
    done = run(world)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{text}\n" for text in world.verdict().lines())
    assert sorted(folder.iterdir()) == before
    # A log without its index is what a reader finds after a crash.
    with closing(sqlite3.connect(world.files.database)) as connection:
        connection.execute("INSERT INTO penstock_message (id, key) VALUES ('e', 'a flight')")
        connection.commit()
        shutil.copy(f"{world.files.database}-wal", f"{world.files.database}-kept")
    shutil.move(f"{world.files.database}-kept", f"{world.files.database}-wal")
    world.change(("DELETE FROM penstock_message",))
    assert run(world).returncode == 0


def test_the_program_says_no(world):
    world.change(("DELETE FROM rebooking",))
    done = run(world)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("the ledger does not balance: 2")
    assert len(lines) == 12
    assert lines[-1].startswith("and ")
    figures = json.loads(run(world, "--json").stdout)
    assert figures["balances"] is False
    assert figures["differences"] == lines[1:11]
    assert figures["more"] == int(lines[-1].split()[1])


def test_a_log_that_is_not_in_the_file_yet_is_read(world):
    with closing(sqlite3.connect(world.files.database)) as connection:
        connection.execute("INSERT INTO penstock_message (id, key) VALUES ('e', 'a flight')")
        connection.commit()
        assert_found(world, "a flight", "a message that was never handled")


@pytest.mark.parametrize("name", ["data", "planes", "database", "ledger"])
def test_a_file_that_is_not_there(world, tmp_path, name):
    path = tmp_path / "nowhere"
    lost = world.__class__(world.files._replace(**{name: path}), world.seed, {})
    done = run(lost)
    assert (done.returncode, done.stdout) == (2, "")
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith(f"ledger check: {path}: ")
    assert " hint: " in sentence
    assert not path.exists()


@pytest.mark.parametrize("name", Files._fields)
@pytest.mark.parametrize("content", [b"", b"\xff\x00junk\n" * 99, b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_a_file_of_something_else(world, tmp_path, name, content):
    path = tmp_path / "junk"
    path.write_bytes(content)
    files = world.files._replace(**{name: path})
    # What cannot be understood is a fault of a ledger; and an empty file is an empty database.
    if name == "ledger" or (name == "database" and not content):
        assert not check(files, world.seed).balances
    else:
        with pytest.raises(Unreadable, match=f"ledger check: {path}: .* hint: "):
            # Without the quarantine's lines the data has some that are no flights.
            check(files, world.seed)


def test_a_bad_line_that_the_quarantine_does_not_name(world):
    with pytest.raises(Unreadable, match="is no flight, and the quarantine does not name it"):
        check(world.files._replace(quarantine=None), world.seed)


def test_a_zip_of_several_files(world, tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "y")
    with pytest.raises(Unreadable, match="is a zip of 2 files"):
        check(world.files._replace(data=path), world.seed)


@given(st.lists(st.integers(1, 9), min_size=1))
def test_the_median_of_votes_is_the_one_of_the_standard_library(values):
    assert _median_low(Counter(values)) == median_low(values)


# The numbers of the packaged year, and what computing them takes: the peak of a process of its own.
YEAR = """
import sys
from collections import Counter
from pathlib import Path
from penstock.demo.check.expected import expect
from penstock.demo.check.flights import read_year
cases = expect(read_year(Path(sys.argv[1]), Path(sys.argv[2]), None), 2013).cases.values()
print(sorted(Counter(case.reason for case in cases).items()), sum(case.paid for case in cases))
# The high-water mark of getrusage would be that of whoever forked this process.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(status["VmHWM"].split()[0])
"""


@pytest.mark.timeout(180)
def test_the_whole_year():
    source = flights_file(None)
    done = subprocess.run(
        [sys.executable, "-c", YEAR, source, source.with_name("planes.csv")],
        capture_output=True,
        text=True,
        check=True,
    )
    numbers, peak = done.stdout.splitlines()
    assert numbers == (
        "[('', 5218), ('gate closed', 57), ('no seat', 2931), ('refund declined', 49)] 661173351"
    )
    assert int(peak) < 120_000
