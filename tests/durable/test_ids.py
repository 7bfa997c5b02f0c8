"""Ids: of version 7, all different, in forked children too."""

from __future__ import annotations

import os
import uuid

from penstock._durable.ids import new_id


def test_they_are_uuids_of_version_7_and_differ():
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    for each in ids[:100]:
        made = uuid.UUID(each)
        assert (made.version, made.variant, str(made)) == (7, uuid.RFC_4122, each)


def test_a_forked_child_makes_others():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "".join(new_id() for _ in range(50)).encode())
        os._exit(0)
    os.close(writing)
    ours = {new_id()[-12:] for _ in range(50)}
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    theirs = {text[start + 24 : start + 36] for start in range(0, len(text), 36)}
    assert len(theirs) == 50
    assert not ours & theirs
