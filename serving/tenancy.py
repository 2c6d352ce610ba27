"""Whose data a request may see.

In development everything belongs to the default tenant. In production a request carries an API key, which belongs
to one tenant. Routes know only the dependency `Tenant`; how it is found out is this module's business alone.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, WebSocketException
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import HTTPConnection

from plimsoll.errors import PlimsollError
from plimsoll.settings import Settings
from serving.problems import ProblemError

_SHORTEST_KEY = 16
_POLICY_VIOLATION = 1008  # WebSocket close code


class _KeySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PLIMSOLL_", env_ignore_empty=True)

    api_keys: SecretStr = SecretStr("")


class TenantFinder:
    """Finds the tenant of a request.

    Args:
        keys: API key to tenant; None means that no key is asked and everybody is `default_tenant`.
        default_tenant: the tenant of a request without keys.
    """

    def __init__(self, keys: dict[str, str] | None, default_tenant: str) -> None:
        self._keys = None if keys is None else {_digest(key): tenant for key, tenant in keys.items()}
        self._default_tenant = default_tenant

    @classmethod
    def from_environment(cls, settings: Settings) -> TenantFinder:
        """By the mode of the installation, and in production by `PLIMSOLL_API_KEYS` ("key:tenant,key:tenant").

        Raises:
            PlimsollError: production without keys, or keys that cannot be read.
        """
        if settings.mode == "development":
            return cls(None, settings.default_tenant)
        keys = parse_keys(_KeySettings().api_keys.get_secret_value())
        if not keys:
            raise PlimsollError(
                "PLIMSOLL_API_KEYS is empty: in production every request needs an API key. "
                "Set it to key:tenant pairs, such as `$(openssl rand -hex 24):default`."
            )
        return cls(keys, settings.default_tenant)

    def tenant_of(self, presented: str | None) -> str | None:
        """The tenant that a key belongs to; None if it belongs to nobody."""
        if self._keys is None:
            return self._default_tenant
        # Every key is compared, in constant time and as digest, so that timing tells nothing about any of them.
        wanted = _digest(presented or "")
        found = None
        for digest, tenant in self._keys.items():
            if hmac.compare_digest(digest, wanted):
                found = tenant
        return found


def parse_keys(text: str) -> dict[str, str]:
    """Read "key:tenant,key:tenant".

    Raises:
        PlimsollError: an entry has no tenant, or its key is too short to be a secret; the key is not repeated.
    """
    keys: dict[str, str] = {}
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        key, _, tenant = entry.rpartition(":")
        if not tenant or len(key) < _SHORTEST_KEY:
            raise PlimsollError(
                f"PLIMSOLL_API_KEYS, entry {number}: expected key:tenant with a key of at least "
                f"{_SHORTEST_KEY} characters."
            )
        keys[key] = tenant
    return keys


def presented_key(connection: HTTPConnection) -> str | None:
    """The API key that a request carries, in `X-API-Key` or as bearer token."""
    if key := connection.headers.get("x-api-key"):
        return key
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


async def require_tenant(connection: HTTPConnection) -> str:
    """The tenant of a request or WebSocket; a coroutine, since the framework gives each plain function a thread.

    Raises:
        ProblemError: 401, the request carries no key, or an unknown one.
        WebSocketException: the same for a WebSocket.
    """
    finder: TenantFinder = connection.app.state.tenants
    tenant_id = finder.tenant_of(presented_key(connection))
    if tenant_id is not None:
        return tenant_id
    detail = "Send a valid API key in the header X-API-Key, or as `Authorization: Bearer …`."
    if connection.scope["type"] == "websocket":
        raise WebSocketException(_POLICY_VIOLATION, detail)
    raise ProblemError(401, "unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


Tenant = Annotated[str, Depends(require_tenant)]
"""The tenant that the request may see, as a route's parameter."""


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
