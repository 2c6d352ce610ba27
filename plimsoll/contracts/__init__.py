"""Contracts: the single source of a stream's shape, and all that is derived from it."""

from plimsoll.contracts.decoder import Decoder, Event, InvalidEvent
from plimsoll.contracts.model import Contract, ContractError, Field, LiveState, load_contracts

__all__ = [
    "Contract",
    "ContractError",
    "Decoder",
    "Event",
    "Field",
    "InvalidEvent",
    "LiveState",
    "load_contracts",
]
