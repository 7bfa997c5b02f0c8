"""The ledger file: whole lines on the disk before anybody is told, whatever happens to it."""

import errno
import json
import os

import pytest

from penstock.demo.rebooking import ledger as ledger_module
from penstock.demo.rebooking.ledger import Entry, Ledger, LedgerError

FIRST = Entry("key 1", "refund", "case 1", 100)
SECOND = Entry("key 2", "reversal", "case 1", 100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "refunds.jsonl"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_has_the_fields_that_the_check_reads(path):
    with Ledger(path) as ledger:
        ledger.append([FIRST, SECOND])
        ledger.append([FIRST._replace(repeat=True)])
    assert lines(path) == [
        {"key": "key 1", "kind": "refund", "case": "case 1", "cents": 100, "repeat": False},
        {"key": "key 2", "kind": "reversal", "case": "case 1", "cents": 100, "repeat": False},
        {"key": "key 1", "kind": "refund", "case": "case 1", "cents": 100, "repeat": True},
    ]


def test_what_was_written_is_known_when_it_is_opened_again(path):
    with Ledger(path) as ledger:
        ledger.append([FIRST, SECOND])
        ledger.append([FIRST._replace(repeat=True)])
        assert ledger.entries == {"key 1": FIRST, "key 2": SECOND}
    with Ledger(path) as ledger:
        assert ledger.entries == {"key 1": FIRST, "key 2": SECOND}
        assert not ledger.cut


@pytest.mark.parametrize("torn", [SECOND.line()[:-1], SECOND.line()[:9], b"{", b"\0\0\0"])
def test_a_torn_last_line_is_cut_off(path, torn):
    path.write_bytes(FIRST.line() + torn)
    with Ledger(path) as ledger:
        assert ledger.cut == len(torn)
        assert ledger.entries == {"key 1": FIRST}
        assert path.read_bytes() == FIRST.line()
        ledger.append([SECOND])
    assert path.read_bytes() == FIRST.line() + SECOND.line()


@pytest.mark.parametrize(
    "line",
    [
        b"{\n",
        b"[]\n",
        b"\0\0\0\n",
        b"\xff\n",
        b'{"key": "k"}\n',
        FIRST._replace(cents=0).line(),
        FIRST._replace(cents="1").line(),
        FIRST._replace(cents=True).line(),
        FIRST._replace(kind="gift").line(),
        FIRST._replace(key=None).line(),
        FIRST._replace(repeat=0).line(),
    ],
)
def test_a_file_that_is_no_ledger_is_left_as_it_is(path, line):
    content = FIRST.line() + line + SECOND.line() + b"torn"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="line 2 is no line of a refund ledger"):
        Ledger(path)
    assert path.read_bytes() == content


def test_a_ledger_is_open_once(path, monkeypatch):
    monkeypatch.setattr(ledger_module, "_LOCK_PATIENCE", 0.0)
    with Ledger(path), pytest.raises(LedgerError, match="another refund desk has it open"):
        Ledger(path)
    with Ledger(path):
        pass


def failing(number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    return fail


def test_a_write_that_fails_is_taken_back_whole(path, monkeypatch):
    with Ledger(path) as ledger:
        ledger.append([FIRST])
        write, room = os.pwrite, [20]

        def write_some(fd, data, offset):
            if not room:
                failing(errno.ENOSPC)()
            return write(fd, data[: room.pop()], offset)

        monkeypatch.setattr(os, "pwrite", write_some)
        with pytest.raises(OSError, match="No space left"):
            ledger.append([SECOND])
        assert path.read_bytes() == FIRST.line()
        assert ledger.entries == {"key 1": FIRST}
        monkeypatch.undo()
        ledger.append([SECOND])
    assert path.read_bytes() == FIRST.line() + SECOND.line()


def test_lines_that_the_disk_did_not_take_do_not_count(path, monkeypatch):
    with Ledger(path) as ledger:
        ledger.append([FIRST])
        # Nor can they be taken back: the file is put right before the next write.
        monkeypatch.setattr(os, "fdatasync", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            ledger.append([SECOND])
        assert ledger.entries == {"key 1": FIRST}
        monkeypatch.setattr(os, "ftruncate", failing(errno.EIO))
        with pytest.raises(OSError, match="Input/output error"):
            ledger.append([SECOND._replace(key="longer than the next one")])
        monkeypatch.undo()
        ledger.append([SECOND])
    assert path.read_bytes() == FIRST.line() + SECOND.line()


def test_lines_are_on_the_disk_when_append_returns(path, monkeypatch):
    calls = []

    def observed(name):
        real = getattr(os, name)

        def call(*arguments):
            calls.append(name)
            return real(*arguments)

        monkeypatch.setattr(os, name, call)

    with Ledger(path) as ledger:
        for name in ("pwrite", "fdatasync"):
            observed(name)
        ledger.append([FIRST, SECOND])
        assert calls == ["pwrite", "fdatasync"]
