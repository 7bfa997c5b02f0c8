"""The refund desk as a process, spoken to in bare lines."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from penstock.demo.rebooking.rules import is_busy, is_cut_off, is_declined, is_slow

SEED = 2013
CASES = [f"case {n}" for n in range(2000)]
MISHAPS = (is_busy, is_declined, is_cut_off, is_slow)


def struck(*by):
    """The cases with these mishaps, and no others."""
    return [c for c in CASES if all(each(SEED, c) == (each in by) for each in MISHAPS)]


PLAIN = struck()
BUSY, DECLINED, CUT_OFF, SLOW = (struck(each) for each in MISHAPS)

# The disk waits for a byte: s says that it was asked, e that it has done it.
GATED = """
import os, sys
sync = os.fdatasync
def gated(fd):
    os.write({says}, b"s")
    os.read({gate}, 1)
    sync(fd)
    os.write({says}, b"e")
os.fdatasync = gated
from penstock.demo.rebooking.desk import main
sys.exit(main())
"""


class Client:
    """Requests out, answers in: a connection for each that is under way."""

    def __init__(self, path):
        self.path = str(path)
        self.under_way = {}

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(30)
        connection.connect(self.path)
        return connection

    def send(self, number, case, kind="refund", cents=100, key=None):
        body = json.dumps({"case": case, "cents": cents}).encode()
        head = f"POST /{kind}s HTTP/1.1\r\nHost: desk\r\nIdempotency-Key: {key or case}\r\n"
        connection = self.connect()
        self.under_way[connection] = number
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return connection

    def answer(self, connection=None):
        if connection is None:
            connection, *_ = select.select([*self.under_way], [], [], 30)[0]
        number = self.under_way.pop(connection)
        with connection, connection.makefile("rb") as file:
            status, body = read(file)
        if status is None:
            return {"id": number, "answer": None}
        assert STATUSES[status] == body["answer"]
        return {"id": number, **body}

    def ask(self, *arguments, **keywords):
        return self.answer(self.send(1, *arguments, **keywords))["answer"]

    @property
    def has_answer(self):
        return bool(select.select([*self.under_way], [], [], 0)[0])

    def close(self):
        for connection in self.under_way:
            connection.close()


STATUSES = dict.fromkeys((400, 404, 422, 507), "failed") | {503: "busy", 409: "declined"}


def read(file):
    """Status and body of a response; two times None at the end of the connection."""
    try:
        first = file.readline()
    except ConnectionResetError:
        return None, None
    if not first:
        return None, None
    fields = dict(line.decode().split(": ") for line in iter(file.readline, b"\r\n"))
    body = json.loads(file.read(int(fields["Content-Length"])))
    status = int(first.split()[1])
    STATUSES[200] = body["answer"] if body["answer"] in {"paid", "nothing"} else "none of these"
    return status, body


@pytest.fixture
def place(tmp_path_factory):
    # A short one: a unix socket's path has room for 107 bytes.
    return tmp_path_factory.mktemp("d")


@pytest.fixture
def start(place):
    """Start a desk; the process once it listens or has given up, with what it said."""
    with ExitStack() as stack:

        def start(*program, fds=(), wait=True, parent=None):
            process = stack.enter_context(
                subprocess.Popen(
                    [
                        *(sys.executable, "-X", "dev", "-W", "error"),
                        *(program or ("-m", "penstock.demo.rebooking.desk")),
                        *("--socket", place / "s", "--ledger", place / "l", "--seed", str(SEED)),
                        *("--parent", str(os.getpid() if parent is None else parent)),
                    ],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=fds,
                )
            )
            stack.callback(process.kill)
            process.said = json.loads(process.stdout.readline()) if wait else None
            return process

        yield start


@pytest.fixture
def connect(place):
    with ExitStack() as stack:

        def connect():
            client = Client(place / "s")
            stack.callback(client.close)
            return client

        yield connect


def ledger(place):
    return [json.loads(line) for line in (place / "l").read_bytes().splitlines()]


def summary(place):
    return [(line["kind"], line["case"], line["cents"], line["repeat"]) for line in ledger(place)]


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, error = process.communicate()
    assert not out
    return process.returncode, error.decode()


def test_it_pays_reverses_and_declines(place, start, connect):
    process = start()
    assert process.said == {"cut": 0}
    client = connect()
    case, declined = PLAIN[0], DECLINED[0]
    assert client.ask(case, kind="reversal", cents=1234, key="too soon") == "nothing"
    assert client.ask(case, cents=1234) == "paid"
    assert client.ask(case, kind="reversal", cents=1234, key="undo") == "paid"
    assert client.ask(declined) == "declined"
    assert client.ask(declined) == "declined"
    assert summary(place) == [("refund", case, 1234, False), ("reversal", case, 1234, False)]
    assert end(process) == (0, "")
    assert not (place / "s").exists()


def test_it_is_busy_once_for_each_key(place, start, connect):
    start()
    client = connect()
    case = BUSY[0]
    assert client.ask(case) == "busy"
    assert client.ask(case, key="another") == "busy"
    assert ledger(place) == []
    assert client.ask(case) == "paid"
    assert client.ask(case) == "paid"
    assert summary(place) == [("refund", case, 100, False), ("refund", case, 100, True)]


def test_it_cuts_the_first_answer_off_when_it_has_paid(place, start, connect):
    start()
    client = connect()
    case = CUT_OFF[0]
    assert client.ask(case) is None
    assert client.ask(case) == "paid"
    assert summary(place) == [("refund", case, 100, False), ("refund", case, 100, True)]
    assert client.ask(case, kind="reversal", key="undo") is None
    assert client.ask(case, kind="reversal", key="undo") == "paid"


def test_it_takes_its_time(place, start, connect):
    start()
    client = connect()
    client.send(1, SLOW[0])
    client.send(2, PLAIN[0])
    # Nobody waits for the slow one.
    assert [client.answer()["id"] for _ in range(2)] == [2, 1]


def test_a_repeat_is_answered_and_noted_and_pays_nothing(place, start, connect):
    start()
    first, second = connect(), connect()
    case = PLAIN[0]
    assert first.ask(case) == "paid"
    assert second.ask(case) == "paid"
    assert summary(place) == [("refund", case, 100, False), ("refund", case, 100, True)]
    assert first.ask(case, cents=99) == "failed"
    assert first.ask(case, kind="reversal") == "failed"
    assert first.ask(PLAIN[1], key=case) == "failed"  # 422, and no other status
    assert len(ledger(place)) == 2


def test_a_repeat_in_the_same_lot_pays_nothing_either(place, start, connect):
    start()
    client = connect()
    for number in range(200):
        client.send(number, PLAIN[number // 4])
    assert {client.answer()["answer"] for _ in range(200)} == {"paid"}
    paid = [line["key"] for line in ledger(place) if not line["repeat"]]
    assert paid == PLAIN[:50]
    assert len(ledger(place)) == 200


def test_a_reversal_finds_the_refund_in_its_own_lot(place, start, connect):
    start()
    client = connect()
    for number, case in enumerate(PLAIN[:100]):
        client.send(2 * number, case)
        client.send(2 * number + 1, case, kind="reversal", key=f"undo {case}")
    assert {client.answer()["answer"] for _ in range(200)} == {"paid"}
    kinds = [line["kind"] for line in ledger(place)]
    assert (kinds.count("refund"), kinds.count("reversal")) == (100, 100)


def test_it_goes_on_where_it_was_killed(place, start, connect):
    process, client = start(), connect()
    assert client.ask(PLAIN[0]) == "paid"
    process.kill()
    process.wait()
    assert (place / "s").exists()
    process, client = start(), connect()
    assert client.ask(PLAIN[0]) == "paid"
    assert client.ask(PLAIN[1]) == "paid"
    assert client.ask(PLAIN[0], kind="reversal", key="undo") == "paid"
    assert client.ask(PLAIN[2], kind="reversal", key="another") == "nothing"
    assert [line["repeat"] for line in ledger(place)] == [False, True, False, False]
    assert end(process) == (0, "")


def test_a_torn_last_line_is_cut_off_with_a_note(place, start, connect):
    process = start()
    assert connect().ask(PLAIN[0]) == "paid"
    process.kill()
    process.wait()
    with (place / "l").open("ab") as file:
        file.write(b'{"key":"' + PLAIN[1].encode())
    process = start()
    assert process.said == {"cut": 8 + len(PLAIN[1])}
    assert connect().ask(PLAIN[1]) == "paid"
    assert [line["case"] for line in ledger(place)] == PLAIN[:2]
    code, error = end(process)
    assert code == 0
    assert error == (
        f"refund desk: {place / 'l'}: the last line was torn by a crash; "
        f"its {8 + len(PLAIN[1])} bytes were cut off\n"
    )


def test_a_file_that_is_no_ledger_is_refused(place, start):
    (place / "l").write_text("flights\n")
    process = start()
    assert process.said["failure"][:2] == [str(place / "l"), "line 1 is no line of a refund ledger"]
    assert process.wait() == 2
    assert not (place / "s").exists()


def test_a_full_disk_is_an_answer_and_not_an_end(place, start, connect):
    process, client = start(), connect()
    assert client.ask(PLAIN[0]) == "paid"
    size = (place / "l").stat().st_size
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    # Room for half a line.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + size // 2, hard))
    client.send(7, PLAIN[1])
    assert client.answer() == {
        "id": 7,
        "answer": "failed",
        "why": f"{place / 'l'}: File too large",
    }
    assert (place / "l").stat().st_size == size
    assert client.ask(DECLINED[0]) == "declined"
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert client.ask(PLAIN[1]) == "paid"
    assert [line["case"] for line in ledger(place)] == PLAIN[:2]
    assert end(process) == (0, "")


def test_what_is_no_request_is_answered_or_ends_the_connection(place, start, connect):
    process = start()
    client = connect()
    assert client.ask(PLAIN[0], cents=0) == "failed"
    assert client.ask(PLAIN[0], kind="gift") == "failed"
    assert client.ask(PLAIN[0]) == "paid"
    ok = b"POST /refunds HTTP/1.1\r\n"
    for junk in (
        b"\r\n\r\n",
        b"{}\r\n\r\n",
        b"POST /refunds HTTP/1.0\r\n\r\n",
        ok + b"no header\r\n\r\n",
        ok + b"Content-Length: -1\r\n\r\n",
        ok + b"Content-Length: 70000\r\n\r\n",
        ok + b"Transfer-Encoding: chunked\r\n\r\n",
        b"x" * 200_000,
    ):
        with client.connect() as other, other.makefile("rb") as file:
            try:
                other.sendall(junk)
                other.shutdown(socket.SHUT_WR)
                assert file.readline() == b""
            except (ConnectionError, OSError):
                pass
    assert client.ask(PLAIN[1]) == "paid"
    assert len(ledger(place)) == 2
    assert end(process) == (0, "")


def test_a_connection_serves_one_request_after_the_other(place, start, connect):
    process = start()
    with connect().connect() as connection, connection.makefile("rb") as file:
        for method, path, body, expected in (
            ("POST", "/refunds", b'{"case": "%s", "cents": 5}' % PLAIN[0].encode(), 200),
            ("GET", "/refunds", b"", 404),
            ("POST", "/refunds", b"[]", 400),
            ("POST", "/refunds", b'{"case": "c", "cents": 5, "repeat": 1, "other": 2}', 400),
            ("POST", "/reversals", b'{"case": "%s", "cents": 5}' % PLAIN[1].encode(), 200),
        ):
            lines = [f"{method} {path} HTTP/1.1", f"Idempotency-Key: {path}"]
            lines += [f"Content-Length: {len(body)}", "", ""]
            connection.sendall("\r\n".join(lines).encode() + body)
            assert read(file)[0] == expected
        # One that waits for a request does not keep the desk.
        assert end(process) == (0, "")
        assert file.read() == b""


@pytest.fixture
def gated(start):
    """A desk whose disk waits: `gate(n)` lets it go on n times, `saw(n)` reads n of its signs."""
    says, says_end = os.pipe()
    gate_end, gate = os.pipe()
    program = GATED.format(says=says_end, gate=gate_end)
    process = start("-c", program, fds=(says_end, gate_end), wait=False)
    os.close(says_end)
    os.close(gate_end)
    process.gate = lambda times=1: os.write(gate, b"." * times)
    process.saw = lambda count: b"".join(os.read(says, 1) for _ in range(count)).decode()
    process.gate()
    assert process.saw(2) == "se"
    process.said = json.loads(process.stdout.readline())
    yield process
    process.kill()
    os.close(gate)
    os.close(says)


def test_the_answer_comes_after_the_disk(place, gated, connect):
    client = connect()
    client.send(1, PLAIN[0])
    assert gated.saw(1) == "s"
    assert [line["case"] for line in ledger(place)] == PLAIN[:1]
    for _ in range(100):
        # The desk is awake all the while, and has nothing to say but this.
        assert client.ask(PLAIN[0], cents=-1) == "failed"
    gated.gate()
    assert client.answer() == {"id": 1, "answer": "paid"}
    assert gated.saw(1) == "e"


def test_what_comes_meanwhile_shares_the_next_wait(place, gated, connect):
    first, second = connect(), connect()
    first.send(0, PLAIN[0])
    assert gated.saw(1) == "s"
    for number in range(1, 10):
        (first, second)[number % 2].send(number, PLAIN[number])
    for client in (first, second):
        # What is no refund is answered at once: all before it has been read by then.
        assert client.ask(PLAIN[0], cents=-1) == "failed"
        assert not client.has_answer
    gated.gate()
    assert gated.saw(2) == "es"
    assert first.answer()["id"] == 0
    assert not first.has_answer
    assert not second.has_answer
    gated.gate()
    assert gated.saw(1) == "e"
    assert sorted(second.answer()["id"] for _ in range(5)) == [1, 3, 5, 7, 9]
    assert sorted(first.answer()["id"] for _ in range(4)) == [2, 4, 6, 8]
    assert len(ledger(place)) == 10


def test_it_ends_with_the_answers_it_owes(place, gated, connect):
    client = connect()
    client.send(1, PLAIN[0])
    assert gated.saw(1) == "s"
    client.send(2, PLAIN[1])
    assert client.ask(PLAIN[0], cents=-1) == "failed"
    gated.terminate()
    gated.gate(2)
    assert sorted(client.answer()["id"] for _ in range(2)) == [1, 2]
    assert gated.wait() == 0
    assert len(ledger(place)) == 2
    assert not (place / "s").exists()


def test_it_does_not_start_for_a_parent_that_has_gone(place, start):
    process = start(wait=False, parent=1)
    assert process.communicate() == (b"", b"")
    assert process.returncode == 0
    assert not (place / "s").exists()


def test_it_needs_the_standard_library_alone(place):
    code = (
        "import sys, penstock.demo.rebooking.desk; "
        "print(sorted({'numpy', 'anyio', 'msgspec', 'rich'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout == b"[]\n"
