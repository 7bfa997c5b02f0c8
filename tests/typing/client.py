"""A client's calls have the type of `into`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

import httpx2

from penstock import Policy, ServiceClient
from penstock.client import or_else, parallel


@dataclass
class User:
    name: str


async def keeps_types(users: ServiceClient) -> None:
    assert_type(await users.get("/users/1", into=User), User)
    assert_type(await users.get("/users", into=list[User], timeout=1.0), list[User])
    assert_type(await users.post("/users", json=User("Ada"), into=User), User)
    assert_type(await users.delete("/users/1"), Any)
    assert_type(await users.get("/users/1", into=httpx2.Response), httpx2.Response)
    async for page in users.pages("/users", into=list[User]):
        assert_type(page, list[User])
    assert_type(
        await parallel(users.get("/a", into=User), or_else(users.get("/b", into=int), None)),
        tuple[User, int | None],
    )
    await users.get("/users/1", json=1)  # type: ignore[call-overload]


def keeps_the_transport(policy: Policy) -> None:
    assert_type(policy.transport(httpx2.HTTPTransport()), httpx2.HTTPTransport)
