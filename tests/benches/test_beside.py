"""The other process of a row, and C that is compiled for one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benches.refusal import Refusal
from benches.shared.beside import beside
from benches.shared.compiled import compiled


@contextmanager
def counting(start: int) -> Iterator[Callable[[int], tuple[int, int]]]:
    total = start

    def lap(n: int) -> tuple[int, int]:
        nonlocal total
        if n < 0:
            raise ValueError(n)
        total += n
        return os.getpid(), total

    yield lap


def test_laps_are_done_there_one_after_another():
    with beside(counting, 10) as other:
        other.begin(1)
        pid, total = other.end()
        other.begin(2)
        assert other.end() == (pid, 13)
    assert total == 11
    assert pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_lap_that_fails_there_is_noticed_here():
    with pytest.raises(EOFError), beside(counting, 0) as other:
        other.begin(-1)
        other.end()


def test_what_does_not_open_there_is_noticed_here():
    with pytest.raises(EOFError), beside(counting):
        pass


def test_c_is_compiled_and_gone_afterwards():
    with compiled("records.c") as program:
        assert subprocess.run([program], check=False).returncode == 2
    assert not program.exists()


def test_what_does_not_compile_is_said(monkeypatch: pytest.MonkeyPatch):
    with (
        pytest.raises(Refusal, match=r"records\.c does not compile"),
        compiled("records.c", "-DSIZE"),
    ):
        pass
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    with pytest.raises(Refusal, match="no C compiler"), compiled("records.c"):
        pass
