"""Which site a request is about."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from plimsoll.settings import Settings
from serving.problems import ProblemError
from serving.schemas.occupancy import SiteNow
from serving.snapshot import Snapshot

SiteInPath = Annotated[str, Path(max_length=200, description="The site's id.", examples=["TJ-0345"])]
SiteInQuery = Annotated[
    str | None,
    Query(
        max_length=200, description="The site's id; may be left out where there is a default site or a single venue."
    ),
]


def find_site(snapshot: Snapshot, site_id: str) -> SiteNow:
    """The site of that id.

    Raises:
        ProblemError: 404, the tenant has no active site of that id.
    """
    site = snapshot.by_id.get(site_id)
    if site is None:
        raise unknown_site(site_id)
    return site


def unknown_site(site_id: str) -> ProblemError:
    """The answer to a site id that the tenant does not have."""
    return ProblemError(
        404, "unknown_site", f"No active site has the id '{site_id}'; /api/occupancy/now lists them.", "site_id"
    )


def site_or_default(snapshot: Snapshot, site_id: str | None, settings: Settings) -> str:
    """The id asked for; else the default site, where it is one of the tenant's; else the only venue.

    Raises:
        ProblemError: 422, none was asked for and nothing says which is meant.
    """
    if site_id:
        return site_id
    if settings.default_site in snapshot.by_id:
        return settings.default_site
    venues = [site.site_id for site in snapshot.sites if site.kind == "venue"]
    if len(venues) == 1:
        return venues[0]
    raise ProblemError(
        422,
        "invalid_parameter",
        f"site_id: which site? There are {len(venues)} venues and no default site here (PLIMSOLL_DEFAULT_SITE).",
        "site_id",
    )
