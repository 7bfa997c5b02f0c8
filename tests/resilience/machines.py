"""Several machines on this one, and a Redis between them that a test can stop.

A machine is a process with a `PENSTOCK_MACHINE` of its own, hence with tables of its own. It runs
what it is told, a line at a time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

__all__ = ("Machine", "Server", "eventually")

_PROGRAM = """
import json, sys, threading, time
from penstock import CircuitBreaker, Policy, RateLimit, Retry
from penstock.resilience import Budget, RateLimited, subscribe

events = []
subscribe(lambda event: events.append(event.kind))

def fail():
    raise OSError

def fails(policy, times):
    for _ in range(times):
        try:
            policy.call(fail)
        except OSError:
            pass

def hammer(policy, seconds):
    granted, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            policy.call(int)
            granted += 1
        except RateLimited:
            time.sleep(0.0002)
    return granted

gates = {}

def begin(name, policy, error=None):
    # A call in a thread, which ends when `finish` says so.
    started, gate, answer = threading.Event(), threading.Event(), []
    def body():
        started.set()
        gate.wait()
        if error is not None:
            raise error
        return "done"
    def run():
        try:
            answer.append(policy.call(body))
        except BaseException as raised:
            answer.append(type(raised).__name__)
        started.set()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    gates[name] = (thread, gate, answer)
    return answer[0] if answer else "running"

def finish(name):
    thread, gate, answer = gates.pop(name)
    gate.set()
    thread.join()
    return answer[0]

for line in sys.stdin:
    text = json.loads(line)
    try:
        try:
            value = eval(compile(text, "<test>", "eval"))
        except SyntaxError:
            value = exec(compile(text, "<test>", "exec"))
    except BaseException as error:
        value = {"raised": type(error).__name__, "message": str(error)}
    print(json.dumps(value, default=str), flush=True)
"""


def eventually(condition: Callable[[], Any]) -> Any:
    """Asks until the answer is true; pytest's own limit ends it otherwise."""
    while not (answer := condition()):
        time.sleep(0.005)
    return answer


class Machine:
    """A process that shares its states with no other on this machine."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, "PENSTOCK_MACHINE": name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(text) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def __call__(self, text: str) -> Any:
        self.tell(text)
        return self.answer()

    def exchange(self) -> dict[str, Any]:
        return self("p.circuit.snapshot()['exchange']")

    def share(self) -> float:
        return self("p._parts[0].state.share")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close(self) -> int:
        """Ends as a program does, at the end of its input."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Server:
    """A redis-server of the test's own, which keeps nothing."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/3"
        self.client = redis.Redis(port=self.port, db=3, decode_responses=True)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        arguments += ["--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no"]
        self.process = subprocess.Popen(
            ["redis-server", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """At once, and with all it had."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.client.close()
