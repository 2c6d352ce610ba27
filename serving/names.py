"""Sites in addresses: their names may hold slashes, which come as `%2F` and look like any other by then."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class _Name(Convertor[str]):
    regex = ".+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())
SITE = "{site_id:name}"
"""What stands for a site in a route's path; an address that goes on behind it is to be routed before it alone."""
