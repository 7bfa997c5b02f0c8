"""The thread that talks to Redis for all states of this process that one Redis holds.

It is started by the first policy that is used with such a scope, is the only one that waits for
the network, and ends with the last of them, with the process, or with the interpreter. A forked
child begins one of its own. Between reports it sleeps in `poll`, on the subscription's socket and
on a descriptor that a change of a circuit writes to.

While Redis does not answer every state goes on with what it has; the next attempt comes after a
quarter of a second, later after two.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import threading
import time
import weakref
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from .links import Link

__all__ = ("Exchange", "exchange_of")

ANSWER = 0.5
"""Seconds in which Redis has to answer."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0
_FAREWELL = 1.0


class Exchange:
    """What this process and one Redis say to each other."""

    def __init__(self, url: str, label: str) -> None:
        self.url = url
        self.label = label
        self.channel = f"penstock:circuits:{urlsplit(url).path.strip('/') or '0'}"
        self._links: list[weakref.ref[Link]] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._bell = -1
        self._is_ending = False
        self._client: redis.Redis | None = None
        self._news: Any = None
        self._pause = _FIRST_PAUSE
        self._retry_at = 0.0

    def add(self, link: Link) -> None:
        """Exchanges it from here on, as long as somebody else keeps it."""
        with self._lock:
            self._links.append(weakref.ref(link))
            self._start()
        self.wake()

    def wake(self) -> None:
        """Has the thread look at once. From any thread; never waits."""
        # Closed by the thread's end, or full: then it looks anyway.
        with contextlib.suppress(OSError):
            os.eventfd_write(self._bell, 1)

    def stop(self) -> None:
        """Ends the thread, with a farewell if Redis answers."""
        thread = self._thread
        if thread is not None:
            self._is_ending = True
            self.wake()
            thread.join(_FAREWELL)

    def forked(self) -> None:
        """In a child: the parent's thread and sockets are the parent's."""
        self._lock = threading.Lock()
        self._client = self._news = self._thread = None
        if self._bell >= 0:
            os.close(self._bell)
            self._bell = -1
        for link in self._living():
            link.forked()
        if self._links:
            # A child that only wants to run another program has done so by then.
            self._retry_at = time.monotonic() + _FIRST_PAUSE
            self._start()

    def _start(self) -> None:
        if self._thread is None and not self._is_ending:
            if self._bell < 0:
                self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._thread = threading.Thread(
                target=self._run, name=f"penstock-redis-{self.label}", daemon=True
            )
            self._thread.start()

    def _living(self) -> list[Link]:
        links = [link for each in self._links if (link := each()) is not None]
        if len(links) < len(self._links):
            self._links = [each for each in self._links if each() is not None]
        return links

    def _run(self) -> None:
        while not self._is_ending:
            with self._lock:
                links = self._living()
                if not links:
                    self._thread = None
                    self._hang_up()
                    return
            now = time.monotonic()
            if now >= self._retry_at:
                self._turn(links, now)
            due = min(max(link.due_at, self._retry_at) for link in links)
            del links
            self._sleep(due)
        self._farewell()

    def _turn(self, links: list[Link], now: float) -> None:
        try:
            client = self._connected()
            for key in self._told():
                for link in links:
                    if link.key == key:
                        link.is_due = True
            due = [it for it in links if (it.is_due or now >= it.due_at) and it.speaks()]
            for link in links:
                if now >= link.due_at:
                    link.due_at = now + 0.5  # an answer says it better
            if due:
                pipeline = client.pipeline(transaction=False)
                for link in due:
                    pipeline.execute_command(*link.command(now))  # type: ignore[no-untyped-call]
                self._take(due, pipeline.execute(raise_on_error=False), now)
            self._pause = _FIRST_PAUSE
        except (RedisError, OSError) as error:
            self._hang_up()
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            trouble = f"Redis at {self.label} does not answer: {error or type(error).__name__}"
            for link in links:
                link.failed(trouble, error=error)

    @staticmethod
    def _take(links: list[Link], replies: list[Any], now: float) -> None:
        for link, reply in zip(links, replies, strict=True):
            if isinstance(reply, Exception):
                # Of this key alone: it is something else, or memory is full.
                link.due_at = now + _LONGEST_PAUSE
                link.failed(f"Redis refuses {link.key!r}: {reply}", error=reply)
            else:
                link.heard(reply, now)

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(
                self.url,
                socket_timeout=ANSWER,
                socket_connect_timeout=ANSWER,
                retry=Retry(NoBackoff(), 0),
                health_check_interval=0,
                decode_responses=True,
                protocol=2,
            )
        if self._news is None:
            news: Any = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            news.subscribe(self.channel)
            self._news = news
        return self._client

    def _told(self) -> set[str]:
        told = set()
        while self._news.connection is not None:
            message = self._news.get_message(timeout=0.0)
            if message is None and not self._news.connection.can_read(0):
                break
            if message is not None and message["type"] == "message":
                told.add(message["data"])
        return told

    def _sleep(self, until: float) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        # redis-py has no public name for it; without it news waits for the next report.
        sock = getattr(getattr(self._news, "connection", None), "_sock", None)
        if sock is not None:
            poll.register(sock, select.POLLIN)
        seconds = min(max(until - time.monotonic(), 0.0), 1.0)
        if any(descriptor == self._bell for descriptor, _ in poll.poll(seconds * 1000)):
            with contextlib.suppress(OSError):
                os.eventfd_read(self._bell)

    def _hang_up(self) -> None:
        news, client = self._news, self._client
        self._news = self._client = None
        with contextlib.suppress(RedisError, OSError):
            if news is not None:
                news.close()
            if client is not None:
                client.close()

    def _farewell(self) -> None:
        client = self._client
        gone = [
            link
            for link in self._living()
            if link.trouble is None and link.state.snapshot()["pids"] == [os.getpid()]
        ]
        with contextlib.suppress(RedisError, OSError):
            if client is not None and gone:
                pipeline = client.pipeline(transaction=False)
                for link in gone:
                    pipeline.hdel(link.key, link.machine)
                pipeline.execute(raise_on_error=False)
        self._hang_up()


_exchanges: dict[str, Exchange] = {}
_opening = threading.Lock()


def exchange_of(url: str, label: str) -> Exchange:
    """The one exchange that this process has with a Redis."""
    with _opening:
        exchange = _exchanges.get(url)
        if exchange is None:
            exchange = _exchanges[url] = Exchange(url, label)
        return exchange


def _stop_all() -> None:
    for exchange in list(_exchanges.values()):
        exchange.stop()


def _after_fork() -> None:
    global _opening  # noqa: PLW0603 - a thread of the parent may have held it
    _opening = threading.Lock()
    for exchange in _exchanges.values():
        exchange.forked()


atexit.register(_stop_all)
os.register_at_fork(after_in_child=_after_fork)
