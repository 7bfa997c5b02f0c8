"""An HTTP server that misbehaves as it is told, in a process of its own; standard library only.

The path says what it does: `/name?503;429,0.2;200` answers the first request for `name` with a
503, the second with a 429 and Retry-After: 0.2, all further ones with 200. Steps, joined by `;`:

    200          that status, with JSON that echoes the request
    429,SECONDS  with Retry-After
    delay,S,200  after so many seconds
    hang         never
    reset        the connection is reset in place of an answer
    truncate     half of the promised body, then the connection ends
    chunked      a chunked body without a length, ten chunks
    forever      a chunked body that never ends
    big,BYTES    503 with a body of so many bytes, chunked
    drop         the answer, and then the connection ends without a word

The second port answers one JSON line for each connection: what has been counted.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

RESET = struct.pack("ii", 1, 0)
REASONS = {200: "OK", 429: "Too Many Requests", 503: "Service Unavailable"}


class Server:
    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.requests: list[dict[str, Any]] = []
        self.open = 0
        self.opened = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.opened += 1
        try:
            while (request := await read_request(reader)) is not None:
                self.requests.append(request)
                name, _, steps = request["target"].partition("?")
                turn = self.asked[name]
                self.asked[name] += 1
                if "=" in steps:  # parameters of a call
                    steps = "200"
                kind, *more = (steps.split(";")[min(turn, steps.count(";"))] or "200").split(",")
                # Also while it waits, the end of the connection is seen.
                working = asyncio.ensure_future(self.answer(writer, request, turn, kind, more))
                gone = asyncio.ensure_future(ended(reader))
                await asyncio.wait([working, gone], return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                if not working.done():
                    working.cancel()
                    return
                if not working.result():
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def answer(
        self,
        writer: asyncio.StreamWriter,
        request: dict[str, Any],
        turn: int,
        kind: str,
        more: list[str],
    ) -> bool:
        """Whether the connection goes on."""
        if kind == "hang":
            await asyncio.Event().wait()
        if kind == "delay":
            await asyncio.sleep(float(more[0]))
            kind, *more = more[1:]
        if kind == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return False
        echo = {key: request[key] for key in ("method", "target", "headers", "body")}
        body = json.dumps({**echo, "turn": turn, "id": 7, "name": "Ada"}).encode()
        if kind == "truncate":
            writer.write(head(200, len(body)) + body[: len(body) // 2])
        elif kind in {"chunked", "forever", "big"}:
            status = 503 if kind == "big" else 200
            writer.write(head(status, None))
            pieces = 10 if kind == "chunked" else 10**9
            size = 1000 if kind != "big" else int(more[0]) // 10
            pieces = 10 if kind == "big" else pieces
            for _ in range(pieces):
                writer.write(b"%x\r\n%b\r\n" % (size, b"x" * size))
                await writer.drain()
                if kind == "forever":
                    await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")
        else:
            status = 200 if kind == "drop" else int(kind)
            fields = {"Retry-After": more[0]} if more else {}
            if request["method"] == "HEAD" or status == 204:
                writer.write(head(status, 0, fields))
            else:
                writer.write(head(status, len(body), fields) + body)
        await writer.drain()
        return kind not in {"truncate", "drop"}

    async def count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = (await reader.readline()).strip()
        if command == b"forget":
            self.asked.clear()
            self.requests.clear()
            self.opened = self.open
        told = {"open": self.open, "opened": self.opened, "requests": self.requests}
        writer.write(json.dumps(told).encode())
        await writer.drain()
        writer.close()


async def ended(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof():  # noqa: ASYNC110 - a stream has no event for its end
        await asyncio.sleep(0.005)


async def read_request(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        first = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = first[:-4].split("\r\n")
    method, target, _ = line.split(" ")
    headers = {}
    for field in fields:
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    body = b""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return {"method": method, "target": target, "headers": headers, "body": body.decode()}


def head(status: int, length: int | None, fields: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    if length is None:
        lines.append("Transfer-Encoding: chunked")
    else:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    lines.append("Content-Type: application/json")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def main() -> None:
    server = Server()
    http = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    control = await asyncio.start_server(server.count, "127.0.0.1", 0)
    ports = [each.sockets[0].getsockname()[1] for each in (http, control)]
    sys.stdout.write(f"{ports[0]} {ports[1]}\n")
    sys.stdout.flush()
    # It ends with whoever started it.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
