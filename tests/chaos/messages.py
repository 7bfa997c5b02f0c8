"""Message queues under SIGKILL, SIGSTOP and cancellation, with a ledger kept outside.

Consumers in processes of their own write down each effect, with the key and the fence, in a file
that they append to; a handler fails at random, rejects at random, and the process is killed or
stopped at random. The ledger then has to show: every message that was acknowledged to its producer
was handled to its end or lies among the dead, no fence was handed out twice, and the effects that
an outside system accepts, which refuses a fence lower than one it has seen for the key, are in
order.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from penstock import MessageQueue, Retry

LEASE = 0.4
RETRY = Retry(attempts=1000, delay=0.01, max_delay=0.05)
MESSAGES = 150
KEYS = 5

_CONSUMER = """
import logging, os, random, sys
import anyio
from tests.chaos.messages import LEASE, RETRY
from penstock import MessageQueue, Reject, RetryLater

logging.disable()  # each rejection would be a line on the terminal
url, ledger, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(seed)
file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


async def handle(message):
    number = message.data
    os.write(file, f"begin {number} {message.fence} {message.attempt}\\n".encode())
    chance = rng.random()
    if chance < 0.1:
        raise OSError("by lot")
    if chance < 0.15:
        raise RetryLater(0.01)
    if chance < 0.4:
        await anyio.sleep(rng.random() * 0.02)
    if number % 40 == 39:
        raise Reject("by number")
    if not message.is_fenced:
        os.write(file, f"effect {number} {message.fence} {message.attempt}\\n".encode())


async def main():
    queue = MessageQueue("chaos", url, lease=LEASE, retry=RETRY)
    while True:
        with anyio.move_on_after(rng.random()):
            await queue.consume(handle, concurrency=4)


anyio.run(main, backend=sys.argv[4])
"""


def run(seed: int, seconds: float) -> int:
    """Rounds until the time is up; how many messages went through. Raises AssertionError."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    handled = 0
    number = 0
    while not number or time.monotonic() < deadline:
        with tempfile.TemporaryDirectory(prefix="penstock-chaos-") as folder:
            round_ = Round(Path(folder), random.Random(rng.getrandbits(64)))
            try:
                round_.run()
            finally:
                round_.end()
            handled += round_.check(f"seed {seed}, round {number}")
        number += 1
    return handled


class Round:
    """One file, three consumers that die again and again, one producer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.rng = rng
        self.url = f"sqlite:///{folder}/chaos.db"
        self.ledger = folder / "ledger"
        self.ledger.touch()
        self.consumers: list[subprocess.Popen[bytes]] = []
        self.sent: dict[str, int] = {}
        self.dead: set[int] = set()

    def run(self) -> None:
        rng = self.rng
        with MessageQueue[int]("chaos", self.url, lease=LEASE, retry=RETRY).sync as queue:
            for _ in range(3):
                self.consumers.append(self.start())
            for number in range(MESSAGES):
                self.sent[queue.enqueue(number, key=f"k{number % KEYS}")] = number
                if number % 10 == 0:
                    self.disturb()
            end = time.monotonic() + 40
            while queue.statistics().depth:
                assert time.monotonic() < end, f"stuck: {queue.statistics()}"
                if rng.random() < 0.02:
                    self.disturb()
                time.sleep(0.01)  # the pace of disturbances; the consumers need the processor
            self.dead = {json.loads(letter.payload) for letter in queue.iter_dead_letters()}

    def start(self) -> subprocess.Popen[bytes]:
        backend = self.rng.choice(("asyncio", "trio"))
        seed = str(self.rng.getrandbits(32))
        return subprocess.Popen(
            [sys.executable, "-c", _CONSUMER, self.url, str(self.ledger), seed, backend],
            cwd=Path(__file__).parents[2],
        )

    def disturb(self) -> None:
        rng = self.rng
        index = rng.randrange(len(self.consumers))
        victim = self.consumers[index]
        if rng.random() < 0.6:
            victim.kill()
            victim.wait()
            self.consumers[index] = self.start()
        elif rng.random() < 0.5:
            os.kill(victim.pid, signal.SIGSTOP)
        else:
            os.kill(victim.pid, signal.SIGCONT)
        stopped = [each for each in self.consumers if _is_stopped(each.pid)]
        if len(stopped) == len(self.consumers):
            os.kill(stopped[0].pid, signal.SIGCONT)

    def end(self) -> None:
        for consumer in self.consumers:
            consumer.kill()
            consumer.wait()

    def check(self, where: str) -> int:
        effects: set[int] = set()
        begun: dict[int, list[int]] = defaultdict(list)
        order: dict[int, list[int]] = defaultdict(list)
        highest: dict[int, int] = defaultdict(int)
        for line in self.ledger.read_text().splitlines():
            word, *numbers = line.split()
            number, fence, _attempt = map(int, numbers)
            if word == "begin":
                begun[number].append(fence)
            elif fence >= highest[number % KEYS]:
                highest[number % KEYS] = fence
                effects.add(number)
                order[number % KEYS].append(number)
        rejected = {number for number in range(MESSAGES) if number % 40 == 39}
        for number in range(MESSAGES):
            assert begun[number], f"{where}: message {number} was never handled"
            fences = begun[number]
            assert len(set(fences)) == len(fences), f"{where}: {number} began twice under a fence"
        assert effects == set(range(MESSAGES)) - rejected, f"{where}: effects are {effects}"
        assert self.dead == rejected, f"{where}: dead are {sorted(self.dead)}"
        for numbers in order.values():
            # Doubled effects are those of one message that a kill separated from its settlement.
            assert numbers == sorted(numbers), f"{where}: a key went out of order: {numbers}"
        return len(self.sent)


def _is_stopped(pid: int) -> Any:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
