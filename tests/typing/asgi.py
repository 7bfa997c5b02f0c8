"""Services below frameworks, as their users write them."""

from typing import assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware as Listed

from penstock import Service
from penstock.asgi import Middleware, health_app, metrics_app
from penstock.metrics import Metrics

service = Service("orders")
app = FastAPI(lifespan=service.lifespan)
app.add_middleware(Middleware, service=service, quiet=("/health",))
app.mount("/health", health_app(service))
app.mount("/metrics", metrics_app(Metrics()))
Starlette(lifespan=service.lifespan, middleware=[Listed(Middleware, service=service)])
Middleware(app, retry_after=2)

assert_type(Service.current(), Service)
assert_type(service.in_flight, int)
with service.work():
    pass

app.add_middleware(Middleware, service="orders")  # type: ignore[arg-type]
health_app("orders")  # type: ignore[arg-type]
