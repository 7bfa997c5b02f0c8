"""The run from inside: its own checks, and the thread that looks at it."""

from __future__ import annotations

import threading

import pytest

from penstock.demo import pipeline
from penstock.demo.failures import DemoError
from penstock.demo.pipeline import Settings, work_through
from penstock.demo.run import Sample
from penstock.demo.sampler import Sampler


def settings_for(path):
    return Settings(path, path.with_name("quarantine.csv"), 1)


def test_a_batch_in_the_pickle_stream_fails_the_run(flights, monkeypatch):
    """The bound is lowered; a batch that was copied into the stream would pass it by far."""
    path = flights(500)
    run = work_through(settings_for(path), lambda _: None)
    assert 100 < run.largest_stream < 4096
    monkeypatch.setattr(pipeline, "_LARGEST_STREAM", 100)
    with pytest.raises(AssertionError, match="bytes of pickle stream"):
        work_through(settings_for(path), lambda _: None)


def test_a_header_alone_is_a_file_of_no_flights(flights):
    run = work_through(settings_for(flights(0)), lambda _: None)
    assert (run.lines, run.findings.flights, run.findings.distances.compared) == (1, 0, 0)
    assert run.recovery is None


def test_a_header_that_cannot_be_decoded_is_named(tmp_path):
    path = tmp_path / "flights.csv"
    path.write_bytes(b"\xff\xfeyear\n1\n")
    with pytest.raises(DemoError, match="its first line cannot be read"):
        work_through(settings_for(path), lambda _: None)
    assert list(tmp_path.iterdir()) == [path]


def test_a_byte_order_mark_is_no_part_of_the_header(flights):
    path = flights(3)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert work_through(settings_for(path), lambda _: None).findings.flights == 3


def test_a_line_that_is_too_long_is_quarantined(flights, line):
    path = flights(3)
    with path.open("a") as file:
        file.write("x" * 3_000_000 + "\n" + line(flight=77) + "\n")
    run = work_through(settings_for(path), lambda _: None)
    assert (run.lines, run.quarantined, run.findings.flights) == (6, 1, 4)
    assert path.with_name("quarantine.csv").stat().st_size < 10_000


def test_the_sampler_looks_while_its_block_runs_and_once_at_its_end():
    shown = []
    third = threading.Event()

    def look(seconds, memory):
        return Sample(seconds, 0, 0, 0, 0, memory, 0, 0)

    def show(sample):
        shown.append(sample)
        if len(shown) == 3:
            third.set()

    with Sampler(look, show) as sampler:
        assert third.wait(30)
        before = len(shown)
    assert len(shown) > before
    assert sampler.samples == shown
    times = [sample.seconds for sample in shown]
    assert times == sorted(times)
    assert times[2] >= 0.2
    assert shown[-1].memory is None or shown[-1].memory > 10_000_000
    assert "penstock-demo-sampler" not in {thread.name for thread in threading.enumerate()}
