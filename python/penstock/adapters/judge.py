"""What a comparison came to: verdicts, counts, and the first differences as text."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

from penstock.metrics import Histogram

from .candidate import Call
from .compare import LATE, Compare, Comparison, Observation
from .events import count
from .report import VERDICTS, Difference, Verdict
from .shown import bounded

__all__ = ("Judge",)

_log = logging.getLogger("penstock.adapters")


class Judge:
    """Judges for one strangler, in the thread or task that compared. Never raises."""

    def __init__(self, name: str, compare: Compare, seconds: Histogram) -> None:
        self._name = name
        self._compare = compare
        self._seconds = seconds
        self._lock = threading.Lock()
        self._verdicts: dict[Verdict, int] = {}
        self._differences: list[Difference] = []

    def counts(self) -> dict[Verdict, int]:
        """Comparisons by verdict, in the order in which they are told."""
        with self._lock:
            return {each: n for each in VERDICTS if (n := self._verdicts.get(each, 0))}

    def differences(self) -> tuple[Difference, ...]:
        """The first ones."""
        with self._lock:
            return tuple(self._differences)

    def judge(self, call: Call, old: Observation, new: Observation) -> None:
        """Counts one comparison, keeps what differs, and publishes."""
        self._seconds.record(new.seconds)
        try:
            verdict = self._verdict(old, new)
        except Exception:
            verdict = "incomparable"
            _log.exception("strangler %r: outcomes cannot be compared", self._name)
        most = self._compare.max_differences
        found = None
        if verdict not in {"same", "ignored"}:
            count(self._name, f"comparison_{verdict.replace(' ', '_')}")
            if len(self._differences) < most:
                found = self._difference(call, old, new, verdict)
        with self._lock:
            self._verdicts[verdict] = self._verdicts.get(verdict, 0) + 1
            if found is not None and len(self._differences) < most:
                self._differences.append(found)
        self._publish(call, old, new, verdict)

    def _verdict(self, old: Observation, new: Observation) -> Verdict:
        compare = self._compare
        if old.error is not None and new.error is not None:
            return "same" if type(old.error) is type(new.error) else "different"
        if new.error is not None:
            return "timed out" if isinstance(new.error, LATE) else "failed"
        if old.error is not None:
            return "different"
        if compare.equal(old.value, new.value):
            return "same"
        if compare.ignore is not None and compare.ignore(old.value, new.value):
            return "ignored"
        return "different"

    def _difference(
        self, call: Call, old: Observation, new: Observation, verdict: Verdict
    ) -> Difference:
        most = self._compare.max_shown
        label = self._compare.label
        try:
            shown = call.shown(most) if label is None else str(label(*call.args, **call.kwargs))
        except Exception as error:
            shown = f"label failed: {bounded(error)}"
        return Difference(
            verdict=verdict,
            call=shown[:most],
            old=self._shown(old, most),
            new=self._shown(new, most),
            old_seconds=old.seconds,
            new_seconds=new.seconds,
        )

    def _shown(self, seen: Observation, most: int) -> str:
        if seen.error is not None:
            return f"raised {bounded(seen.error, most)}"[:most]
        return bounded(self._cleaned(seen.value), most)

    def _cleaned(self, value: Any) -> object:
        if self._compare.clean is None:
            return value
        try:
            return self._compare.clean(value)
        except Exception:
            _log.exception("strangler %r: clean= failed", self._name)
            return "clean= failed"

    def _publish(self, call: Call, old: Observation, new: Observation, verdict: Verdict) -> None:
        publish = self._compare.publish
        if publish is None:
            return
        old, new = (
            each if each.error is not None else replace(each, value=self._cleaned(each.value))
            for each in (old, new)
        )
        try:
            publish(Comparison(self._name, call.args, call.kwargs, old, new, verdict))
        except Exception:
            _log.exception("strangler %r: publish= failed", self._name)
