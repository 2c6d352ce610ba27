"""The ways in over HTTP: buses, venues, devices; and the WebSocket for traffic counts.

The application that includes `create_router` sets `app.state.gateway` (Gateway) and `app.state.devices` (Devices), and
says by a dependency which tenant a request belongs to.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from ingest.gateways.allowance import Allowance
from ingest.gateways.devices import REFUSED_SENDER, UNKNOWN, Devices, Registration, check_sender, sender_of
from ingest.gateways.gateway import BrokerUnavailable, Check, Gateway, IngestOff, Normalise, Refusal
from ingest.gateways.payloads import bus_event, device_report, traffic_count, venue_event
from ingest.gateways.signatures import SentText
from plimsoll.contracts import InvalidEvent

# No postponed annotations here: FastAPI has to resolve `Tenant`, which only exists inside `create_router`.

MAX_EVENTS = 5_000
RETRY_AFTER_S = 5
_TITLES = {
    401: "Sender refused", 413: "Too large", 422: "Invalid event", 429: "Too fast", 503: "Temporarily unavailable",
}  # fmt: skip
_EXAMPLE_BUS = {
    "bus_id": "TJ-0345", "bus_code": "TJ", "door_id": 1, "in_count": 3, "out_count": 1, "occupancy": 37,
    "ts_device": "2026-01-15T12:34:56Z", "device_id": "EDGE-A1B2", "fw_version": "1.7.3",
}  # fmt: skip
_EXAMPLE_VENUE = {"ts": "2026-01-15T12:34:56Z", "count": 42, "device_id": "GYM-DOOR-1"}
_EXAMPLE_TRAFFIC = {
    "stream_id": "550e8400-e29b-41d4-a716-446655440000", "timestamp": "2026-01-15T19:34:56+0700",
    "location": "Jakarta", "longitude": 106.816666, "latitude": -6.2, "total_in_area": 150,
    "estimated_max_people": 200, "label": "heavy", "type": "vehicle",
}  # fmt: skip
_EXAMPLE_STATUS = {"status": "online", "ts": "2026-01-15T12:34:56Z", "fw_version": "1.7.3"}
_EXAMPLE_HEARTBEAT = {"ts": "2026-01-15T12:34:56Z", "uptime_s": 86400, "battery_percent": 98.5}


TenantOf = Callable[[HTTPConnection], Awaitable[str]]


def create_router(
    tenant: TenantOf, *, max_body_bytes: int, max_events_per_minute: int, unregistered_devices: bool
) -> APIRouter:
    """The ingest routes.

    Args:
        tenant: dependency that yields the tenant_id of an HTTP request or WebSocket.
        max_body_bytes: larger bodies and messages are refused.
        max_events_per_minute: of one client, which is a tenant at a network address; 0 for no bound.
        unregistered_devices: whether devices that the registry lacks are welcome; a venue's then counts for a site
            of its own name.
    """
    limits = _Limits(max_body_bytes, unregistered_devices, Allowance(max_events_per_minute))
    router = APIRouter(tags=["ingest"], route_class=_event_route(tenant))
    Tenant = Annotated[str, Depends(tenant)]

    @router.post("/api/occupancy/ingest", status_code=202, openapi_extra=_body(_EXAMPLE_BUS, "bus or venue events"))
    async def ingest_occupancy(request: Request, tenant_id: Tenant) -> JSONResponse:
        """Take one occupancy event or a list; answered when Kafka has acknowledged.

        A list with some invalid events answers 207: the good ones are accepted, the bad ones named by index. A device
        that is registered with a secret signs each event (`sig`).
        """
        sent = await _sent(request, limits, tenant_id)
        check, _ = await _sender_check(request, sent, tenant_id, limits)
        return await _answer(request, "occupancy.events", sent, bus_event, tenant_id, check)

    @router.post("/ingest", status_code=202, openapi_extra=_body(_EXAMPLE_VENUE, "head counts of a venue"))
    async def ingest_venue(request: Request, tenant_id: Tenant) -> JSONResponse:
        """Take one head count of a venue or a list; the device's registration says which site it is.

        Without `ts` it was counted on arrival; a device that signs has to tell it.
        """
        sent = await _sent(request, limits, tenant_id)
        check, registrations = await _sender_check(request, sent, tenant_id, limits)
        normalise = partial(_venue_event, registrations=registrations, limits=limits)
        return await _answer(request, "occupancy.events", sent, normalise, tenant_id, check)

    @router.post("/api/traffic/ingest", status_code=202, openapi_extra=_body(_EXAMPLE_TRAFFIC, "traffic counts"))
    async def ingest_traffic(request: Request, tenant_id: Tenant) -> JSONResponse:
        """Take one traffic count or a list."""
        sent = await _sent(request, limits, tenant_id)
        return await _answer(request, "traffic.counts", sent, traffic_count, tenant_id, None)

    @router.post("/api/devices/{device_id}/status", status_code=202, openapi_extra=_body(_EXAMPLE_STATUS, "status"))
    async def ingest_status(device_id: str, request: Request, tenant_id: Tenant) -> JSONResponse:
        """Take a device's status: online, offline or error. Signed like its events."""
        return await _device_report(request, "device.status", device_id, tenant_id, limits)

    @router.post(
        "/api/devices/{device_id}/heartbeat",
        status_code=202,
        openapi_extra=_body(_EXAMPLE_HEARTBEAT, "heartbeat"),
    )
    async def ingest_heartbeat(device_id: str, request: Request, tenant_id: Tenant) -> JSONResponse:
        """Take a device's sign of life. Signed like its events."""
        return await _device_report(request, "device.heartbeats", device_id, tenant_id, limits)

    @router.websocket("/ws")
    async def traffic_socket(socket: WebSocket, tenant_id: Tenant) -> None:
        """Traffic counts, one JSON message each; every one is answered in its turn."""
        await socket.accept()
        try:
            while True:
                await socket.send_json(await _take(socket, await _receive(socket), tenant_id, limits))
        except WebSocketDisconnect:
            return

    return router


def _event_route(tenant: TenantOf) -> type[APIRoute]:
    """Routes that are documented as usual and call their function without the framework's solving of dependencies.

    That costs more than the events do, and there is only the tenant to find.
    """

    class EventRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            async def handle(request: Request) -> Any:
                return await self.endpoint(request=request, tenant_id=await tenant(request), **request.path_params)

            return handle

    return EventRoute


@dataclass(frozen=True)
class _Limits:
    max_body_bytes: int
    unregistered_devices: bool
    allowance: Allowance

    def take_allowance(self, connection: HTTPConnection, tenant_id: str, events: int) -> None:
        """Take so many events from the client's allowance.

        Raises:
            RequestRefused: it has used it up.
        """
        self._refuse_for(self.allowance.take(_client(connection, tenant_id), events))

    def see_allowance(self, connection: HTTPConnection, tenant_id: str) -> None:
        """See that something of the client's allowance is left.

        Raises:
            RequestRefused: it has used it up.
        """
        self._refuse_for(self.allowance.look(_client(connection, tenant_id)))

    def _refuse_for(self, wait_s: int | None) -> None:
        if wait_s is not None:
            bound = f"more than {self.allowance.events_per_minute:,} events a minute from one client"
            raise RequestRefused(429, "too_fast", f"{bound}; nothing was taken, send it again later", wait_s)


def _client(connection: HTTPConnection, tenant_id: str) -> tuple[str, str]:
    return tenant_id, connection.client.host if connection.client else ""


@dataclass(frozen=True)
class _Sent:
    """The events of a request, and the text they came in."""

    payloads: list[Any]
    text: SentText


def _body(example: dict[str, Any], what: str) -> dict[str, Any]:
    schema = {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "maxItems": MAX_EVENTS}]}
    content = {"application/json": {"schema": schema, "example": example}}
    return {
        "requestBody": {
            "required": True,
            "description": f"One object, or a list: {what}.",
            "content": content,
        }
    }


async def _sent(request: Request, limits: _Limits, tenant_id: str) -> _Sent:
    limits.see_allowance(request, tenant_id)  # before anything is read
    try:
        sent = _opened(await _body_of(request, limits.max_body_bytes))
    except RequestRefused:
        limits.take_allowance(request, tenant_id, 1)  # what cannot be read costs as much as an event
        raise
    limits.take_allowance(request, tenant_id, max(1, len(sent.payloads)))
    return sent


async def _body_of(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            bound = f"the body is larger than {max_bytes:,} bytes; send less at once"
            raise RequestRefused(413, "content_too_large", bound)
    return bytes(body)


def _opened(text: bytes) -> _Sent:
    document = _decoded(text)
    payloads = document if isinstance(document, list) else [document]
    if len(payloads) > MAX_EVENTS:
        raise RequestRefused(413, "too_many", f"more than {MAX_EVENTS:,} events; send them in several requests")
    return _Sent(payloads, SentText(text))


def _decoded(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise RequestRefused(422, "too_deep", "the JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(422, "not_json", f"this is not valid JSON: {error}") from None


async def _sender_check(
    request: Request, sent: _Sent, tenant_id: str, limits: _Limits, addressed: str | None = None
) -> tuple[Check, dict[str, Registration]]:
    """The check of each event's sender, and what is registered about the senders."""
    devices: Devices = request.app.state.devices
    senders = {sender_of(payload, addressed) for payload in sent.payloads}
    registrations = await devices.look_up(tenant_id, senders - {None})  # type: ignore[arg-type]

    def check(index: int, payload: Any) -> None:
        check_sender(
            payload, sent.text, index, registrations,
            addressed=addressed, unregistered_devices=limits.unregistered_devices,
        )  # fmt: skip

    return check, registrations


class RequestRefused(Exception):
    """A request that is refused as a whole; `refused_response` turns it into the answer."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry_after_s = status, code, detail, retry_after_s


async def refused_response(_: Request, error: Exception) -> JSONResponse:
    """The problem+json answer of a `RequestRefused`; the application registers it as exception handler."""
    assert isinstance(error, RequestRefused)
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return _problem(error.status, error.code, error.detail, headers=headers)


async def _device_report(request: Request, topic: str, device_id: str, tenant_id: str, limits: _Limits) -> JSONResponse:
    sent = await _sent(request, limits, tenant_id)
    check, _ = await _sender_check(request, sent, tenant_id, limits, device_id)
    normalise = partial(device_report, device_id=device_id, received_at=datetime.now(UTC))
    return await _answer(request, topic, sent, normalise, tenant_id, check)


def _venue_event(payload: Any, registrations: Mapping[str, Registration], limits: _Limits) -> dict[str, Any]:
    device_id = sender_of(payload)
    registered = registrations.get(device_id or "", UNKNOWN)
    received_at = datetime.now(UTC)
    # Signed and without a time, one text would be a new count whenever somebody sends it again.
    event = venue_event(payload, None if registered.secrets else received_at)
    if "site_id" in event:
        return event
    if device_id is None:
        raise InvalidEvent("missing_field", "is required", "device_id")
    counted_at = event["ts_device"] if isinstance(event["ts_device"], datetime) else received_at
    site_id = registered.site_at(counted_at) or (device_id if limits.unregistered_devices else None)
    if site_id is None:
        raise InvalidEvent("no_site", f"device '{device_id[:64]}' is registered for no site", "device_id")
    return event | {"site_id": site_id}


async def _answer(
    request: Request, topic: str, sent: _Sent, normalise: Normalise, tenant_id: str, check: Check | None
) -> JSONResponse:
    gateway: Gateway = request.app.state.gateway
    try:
        refusals = await gateway.accept(topic, sent.payloads, normalise, tenant_id, check)
    except BrokerUnavailable as error:
        raise _unavailable(error) from error
    accepted = len(sent.payloads) - len(refusals)
    if refusals and not accepted:
        first = refusals[0]
        detail = f"{first.field}: {first.reason}" if first.field else first.reason
        errors = [_error(r) for r in refusals]
        if all(r.code in REFUSED_SENDER for r in refusals):
            return _problem(401, first.code, detail, errors=errors, headers={"WWW-Authenticate": "HMAC-SHA256"})
        return _problem(422, first.code, detail, errors=errors)
    body: dict[str, Any] = {"status": "ok", "accepted": accepted}
    if refusals:
        body |= {"status": "partly", "rejected": len(refusals), "errors": [_error(r) for r in refusals]}
    return JSONResponse(body, 207 if refusals else 202)


def _unavailable(error: BrokerUnavailable) -> RequestRefused:
    if isinstance(error, IngestOff):
        return RequestRefused(503, "ingest_off", str(error))
    detail = "Kafka did not acknowledge; nothing is lost if you send this again"
    return RequestRefused(503, "broker_unavailable", detail, RETRY_AFTER_S)


def _error(refusal: Refusal) -> dict[str, Any]:
    return {"index": refusal.index, "field": refusal.field, "code": refusal.code, "reason": refusal.reason}


def _problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: list[dict[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    body: dict[str, Any] = {
        "type": f"/docs#problem-{code}",
        "title": _TITLES[status],
        "status": status,
        "code": code,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    return text.encode("utf-8", "surrogatepass") if text is not None else message.get("bytes") or b""


async def _take(socket: WebSocket, message: bytes, tenant_id: str, limits: _Limits) -> dict[str, Any]:
    gateway: Gateway = socket.app.state.gateway
    try:
        limits.take_allowance(socket, tenant_id, 1)
        if len(message) > limits.max_body_bytes:
            bound = f"the message is larger than {limits.max_body_bytes:,} bytes"
            raise RequestRefused(413, "content_too_large", bound)
        try:
            refusals = await gateway.accept("traffic.counts", [_decoded(message)], traffic_count, tenant_id)
        except BrokerUnavailable as error:
            raise _unavailable(error) from error
    except RequestRefused as refused:
        answer = {"status": "error", "code": refused.code, "field": None, "reason": refused.detail}
        return answer | ({"retry_after_s": refused.retry_after_s} if refused.retry_after_s else {})
    if refusals:
        first = refusals[0]
        return {"status": "error", "code": first.code, "field": first.field, "reason": first.reason}
    return {"status": "ok"}
