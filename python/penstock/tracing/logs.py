"""Log lines that carry the ids of what they belong to: trace, span and correlation id."""

from __future__ import annotations

import json
import logging
import time
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Literal

from penstock._native import TraceContext
from penstock.errors import Misuse

__all__ = ("JsonFormatter", "LogContext")

_IDS = ("trace_id", "span_id", "correlation_id")
_USUAL = len(vars(logging.makeLogRecord({})))
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", *_IDS}
"""What every record has; anything else came by `extra=`."""
_WRITTEN = frozenset({"time", "level", "logger", "exception", "stack", "message", *_IDS})


class JsonFormatter(logging.Formatter):
    """Formats each record as one line of JSON, with the ids that are current.

    For logs that a machine reads: `handler.setFormatter(JsonFormatter())`. Fields, in this order:
    `time` (UTC, RFC 3339, microseconds), `level`, `logger`, `message`; `trace_id` and `span_id`
    inside of a trace; `correlation_id` where there is one; what came by `extra=`; `exception`
    and `stack`. An extra that is called as another field is has an underscore behind its name.
    What JSON does not know is written by `repr`.
    Only ASCII is written, a line has no line break inside, and no value makes it raise.

    Args:
        fields: more fields for every line, such as `{"service": "orders"}`. Raises Misuse for
            names that every line has anyway.

    A handler that formats in another thread (`QueueListener`) finds no context there: give the
    handler in front of it the filter `LogContext`, which notes the ids in the record. Any thread.
    Cost: some 2 µs a line without extras.

    """

    def __init__(self, *, fields: dict[str, Any] | None = None) -> None:
        super().__init__()
        fields = {str(name): value for name, value in (fields or {}).items()}
        if _WRITTEN & fields.keys():
            raise Misuse(
                f"JsonFormatter: fields={fields!r} are called as what is in every line",
                hint=f"call them something else than {', '.join(sorted(_WRITTEN))}",
            )
        self._fields = "".join(f",{_quoted(name)}:{_json(fields[name])}" for name in fields)
        self._taken = _WRITTEN | fields.keys()
        self._second = (-1, "")

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, without its line break."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - arguments that do not fit: say so in the line
            given = f"{_shown(record.msg)} with {_shown(record.args)}"
            message = f"{given} cannot be formatted: {type(error).__name__}"
        line = (
            f'{{"time":"{self._time(record.created)}","level":{_json(record.levelname)},'
            f'"logger":{_json(record.name)},"message":{_quoted(message)}{_ids(record)}'
            f"{self._fields}"
        )
        values = vars(record)
        if len(values) > _USUAL:
            for name in values.keys() - _OWN:
                free = name
                while free in self._taken or (free != name and free in values):
                    free += "_"
                line += f",{_quoted(free)}:{_json(values[name])}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            line += f',"exception":{_quoted(record.exc_text)}'
        if record.stack_info:
            line += f',"stack":{_quoted(self.formatStack(record.stack_info))}'
        return line + "}"

    def _time(self, created: float) -> str:
        whole = int(created)
        second, text = self._second
        if second != whole:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            self._second = (whole, text)
        return f"{text}.{int((created - whole) * 1e6):06d}Z"


class LogContext(logging.Filter):
    """Notes the current ids in every record: `trace_id`, `span_id` and `correlation_id`.

    For formats that are text, `"%(levelname)s %(message)s trace=%(trace_id)s"`, and for
    handlers that pass records on to other threads, where `JsonFormatter` finds them again. Add it
    to the handler, not to a logger, whose children would go past it. What is missing is `absent`.
    """

    def __init__(self, absent: str = "-") -> None:
        super().__init__()
        if not isinstance(absent, str):
            raise Misuse(f"absent={absent!r} is no text", hint='absent="-"')
        self._absent = absent

    def filter(self, record: logging.LogRecord) -> Literal[True]:
        """Let every record pass, with its ids."""
        if "trace_id" not in vars(record):
            context, absent = TraceContext.current(), self._absent
            is_valid = context.is_valid
            record.trace_id = context.trace_id if is_valid else absent
            record.span_id = context.span_id if is_valid else absent
            record.correlation_id = context.correlation_id or absent
        return True


def _ids(record: logging.LogRecord) -> str:
    noted = vars(record)
    if "trace_id" in noted:
        found = [(name, noted.get(name)) for name in _IDS]
        return "".join(
            f',"{name}":{_json(value)}' for name, value in found if value and value != "-"
        )
    context = TraceContext.current()
    text = ""
    if context.is_valid:
        text = f',"trace_id":"{context.trace_id}","span_id":"{context.span_id}"'
    correlation = context.correlation_id
    return text if correlation is None else f'{text},"correlation_id":{_quoted(correlation)}'


def _json(value: object) -> str:
    if type(value) is str:
        return _quoted(value)
    try:
        return json.dumps(value, default=repr, allow_nan=False, separators=(",", ":"))
    except Exception:  # noqa: BLE001 - NaN, circles, keys of odd types, a repr that raises
        return _quoted(_shown(value))


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
