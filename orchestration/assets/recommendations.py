"""From what is seen and forecast to what should be done: hotspots, recommendations, and the API that shows them."""

from collections.abc import Iterator
from dataclasses import asdict

from dagster import AssetExecutionContext, AssetKey, AssetsDefinition, AssetSpec, MaterializeResult, asset

from orchestration.each_tenant import require_everybody
from orchestration.keys import ALERTS, API, HOTSPOTS, OPERATIONS_TEAM, PLATFORM_TEAM, PREDICTIONS, RECOMMENDATIONS
from orchestration.operations import alert_everywhere, recommend_everywhere, watch_everywhere
from orchestration.resources import Platform

GROUP = "recommendations"
_LIVE = [AssetKey(["live", "occupancy"]), AssetKey(["live", "traffic"])]


@asset(
    key=HOTSPOTS,
    deps=[PREDICTIONS, *_LIVE],
    group_name=GROUP,
    owners=[OPERATIONS_TEAM],
    kinds={"python", "postgres"},
    description=(
        "One row per episode of crowding at a site, an area or a route and direction, seen live or forecast. "
        "Raised and cleared with hysteresis; running it again at the same moment changes nothing. "
        "The sensor `watch_hotspots` brings it up to date every minute without a run."
    ),
)
def hotspots(context: AssetExecutionContext, platform: Platform) -> Iterator[MaterializeResult[None]]:
    """Bring every tenant's hotspots up to date."""
    with platform.connection() as connection:
        counts, failed = watch_everywhere(context.log, connection)
    yield MaterializeResult(metadata=asdict(counts))
    require_everybody(failed)


@asset(
    key=RECOMMENDATIONS,
    deps=[HOTSPOTS],
    group_name=GROUP,
    owners=[OPERATIONS_TEAM],
    kinds={"python", "postgres"},
    description=(
        "One row per action proposed against a hotspot, with its preconditions, evidence and expected effect. "
        "People accept, dismiss or execute it through the API; an open proposal is not made twice."
    ),
)
def recommendations(context: AssetExecutionContext, platform: Platform) -> Iterator[MaterializeResult[None]]:
    """Propose what can be done about every tenant's hotspots."""
    with platform.connection() as connection:
        counts, failed = recommend_everywhere(context.log, connection)
    yield MaterializeResult(metadata=asdict(counts))
    require_everybody(failed)


@asset(
    key=ALERTS,
    deps=[HOTSPOTS, AssetKey(["live", "device"])],
    group_name=GROUP,
    owners=[OPERATIONS_TEAM],
    kinds={"python", "postgres"},
    description=(
        "One row per thing that a person should know of: high occupancy, a silent device, late data, a failed job. "
        "The sensor `watch_alerts` brings it up to date every minute without a run; `deliver_alerts` tells people."
    ),
)
def alerts(context: AssetExecutionContext, platform: Platform) -> Iterator[MaterializeResult[None]]:
    """Bring every tenant's alerts up to date."""
    with platform.connection() as connection:
        counts, failed = alert_everywhere(context.log, connection, platform.settings())
    yield MaterializeResult(metadata=asdict(counts))
    require_everybody(failed)


ASSETS: list[AssetsDefinition] = [hotspots, recommendations, alerts]


def api_spec(served: list[AssetKey]) -> AssetSpec:
    """The API, at the end of the graph: what it shows is what people see."""
    return AssetSpec(
        API,
        deps=[HOTSPOTS, RECOMMENDATIONS, ALERTS, *served],
        group_name=GROUP,
        owners=[PLATFORM_TEAM],
        kinds={"fastapi"},
        description=(
            "What apps ask: current occupancy, history, forecast, hotspots and recommendations. A long-lived process "
            "(`plimsoll api`), not run by Dagster; `/docs` describes every route."
        ),
    )
