"""`penstock messages`: figures, dead letters, redrive; one line and code 2 for what cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from penstock import Message, MessageQueue, Reject


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "penstock", "messages", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/jobs.db"

    async def handle(message: Message[int]) -> None:
        raise Reject(f"no such account: {message.data}")

    async def main() -> None:
        async with MessageQueue("mails", url) as queue:
            await queue.enqueue_many([1, 2, 3], headers={"a": "b"})
            async with queue.consumer(handle, concurrency=1):
                while (await queue.statistics()).dead < 3:
                    await anyio.lowlevel.checkpoint()
            await queue.enqueue(4, delay=1000)
        async with MessageQueue("imports", url) as queue:
            await queue.enqueue(5)

    anyio.run(main)
    return url


def test_stats(url):
    done = command("stats", url)
    assert (done.returncode, done.stderr) == (0, "")
    head, imports, mails = done.stdout.splitlines()
    assert head.split() == ["queue", "ready", "delayed", "in", "flight", "behind", "dead", "oldest"]
    assert imports.split()[:6] == ["imports", "1", "0", "0", "0", "0"]
    assert mails.split()[:6] == ["mails", "0", "1", "0", "0", "3"]
    found = json.loads(command("stats", url, "mails", "--json").stdout)
    assert (found["mails"]["dead"], found["mails"]["delayed"]) == (3, 1)
    assert list(found) == ["mails"]


def test_dead_and_redrive(url):
    done = command("dead", url, "mails", "--limit", "2")
    assert done.returncode == 0
    first, second = (line.split()[0] for line in done.stdout.splitlines())
    assert "no such account: 1" in done.stdout
    following = done.stderr.split("--after ")[1].strip()
    rest = command("dead", url, "mails", "--after", following, "--traceback")
    assert "no such account: 3" in rest.stdout
    assert "in handle" in rest.stdout
    assert rest.stderr == ""
    as_json = json.loads(command("dead", url, "mails", "--json").stdout)
    assert [each["payload"] for each in as_json["items"]] == ["1", "2", "3"]
    assert as_json["items"][0]["headers"] == {"a": "b"}

    done = command("redrive", url, "mails", first)
    assert (done.returncode, done.stdout) == (0, "1 of 1 put back\n")
    again = command("redrive", url, "mails", first, second)
    assert (again.returncode, again.stdout) == (1, "1 of 2 put back\n")
    done = command("redrive", url, "mails", "--all")
    assert (done.returncode, done.stdout) == (0, "1 of all put back\n")
    assert command("dead", url, "mails").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "ACTION"),
        (("stat", "URL"), "stat"),
        (("stats",), "URL"),
        (("stats", "jobs.db"), "no engine for 'jobs.db'"),
        (("stats", "memory://x"), "its own process"),
        (("stats", "sqlite:///nowhere.db"), "there is no"),
        (("stats", "URL", "letters"), "no message queue 'letters'"),
        (("dead", "URL", "letters"), "there are: imports, mails"),
        (("dead", "URL", "mails", "--after", "x"), "after='x'"),
        (("dead", "URL", "mails", "--limit", "0"), "--limit"),
        (("redrive", "URL", "mails"), "--all"),
        (("redrive", "URL", "mails", "x", "--all"), "--all"),
    ],
)
def test_what_cannot_be_is_a_line_with_a_hint(url, tmp_path, arguments, named):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "penstock",
            "messages",
            *(url if each == "URL" and len(arguments) > 2 else each for each in arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert named in done.stderr
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.db"]
