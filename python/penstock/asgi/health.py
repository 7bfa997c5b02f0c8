"""`health_app`: what a service says of itself, for those who decide whether to send it work."""

from __future__ import annotations

import json
from dataclasses import asdict

from penstock.errors import Misuse
from penstock.service import Service, State

from .interface import App, Receive, Scope, Send, answer, is_asked, path_below

__all__ = ("health_app",)


def health_app(service: Service) -> App:
    """An ASGI application: `/live`, `/ready`, and both with every part in JSON at `/`.

    Mount it, `app.mount("/health", health_app(service))`, or serve it by itself. GET and HEAD.

    - `/live`: 200 as long as the process answers; 503 once the service has ended or failed, when
      only a restart helps. Draining is alive.
    - `/ready`: 200 while the service runs and every part is healthy; 503 while it starts and from
      the moment on in which it ends.
    - `/`: the status of `/ready`, and state, health and detail of the service and its parts.

    Costs what `service.health()` does. It names parts and their errors: do not show `/` to
    strangers. On the service's loop, whatever framework and server.
    """
    if not isinstance(service, Service):
        raise Misuse(
            f"health_app: {service!r} is no Service", hint="health_app(service), the object itself"
        )

    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        if not await is_asked(scope, receive, send):
            return None
        match path_below(scope).rstrip("/"):
            case "/live":
                is_well, body = service.state not in {State.STOPPED, State.FAILED}, ""
            case "/ready":
                is_well, body = service.ready, ""
            case "":
                said = service.health()
                is_well, body = said.is_healthy, json.dumps(asdict(said), indent=1)
            case _:
                return await answer(scope, send, 404, "/live, /ready or /\n")
        status = 200 if is_well else 503
        if body:
            return await answer(scope, send, status, body + "\n", "application/json")
        return await answer(scope, send, status, f"{service.state}\n")

    return health
