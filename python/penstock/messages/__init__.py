"""A durable work queue: acknowledge, retry with backoff, dead letters, order by key.

At least once: a message stays in the store until its handler has returned, and is handed out again
if its consumer dies. No server: memory or one SQLite file.
"""

from __future__ import annotations

from penstock._durable.codec import Codec, JsonCodec
from penstock._durable.pages import Page

from .consumer import Consumer
from .decisions import Reject, RetryLater
from .letters import DeadLetter
from .message import Message
from .queue import MessageQueue
from .statistics import MessageStatistics
from .sync import SyncMessageQueue

__all__ = (
    "Codec",
    "Consumer",
    "DeadLetter",
    "JsonCodec",
    "Message",
    "MessageQueue",
    "MessageStatistics",
    "Page",
    "Reject",
    "RetryLater",
    "SyncMessageQueue",
)
