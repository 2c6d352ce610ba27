"""How good hotspots and recommendations are, measured on the simulated city and shown in the asset graph."""

from dagster import AssetExecutionContext, Config, MaterializeResult, MetadataValue, asset
from pydantic import Field

from orchestration.keys import EVALUATION, FORECAST_TEAM


class EvaluationConfig(Config):
    """Which city is judged, and how long."""

    seed: int = Field(7, ge=0, description="The same seed gives the same city, the same days and the same figures.")
    weeks: int = Field(8, ge=3, le=52, description="History that the forecast learns from.")
    days: int = Field(7, ge=1, le=28, description="Days that are judged.")
    buses: int = Field(90, ge=28, le=5000, description="Size of the fleet.")


@asset(
    key=EVALUATION,
    group_name="recommendations",
    owners=[FORECAST_TEAM],
    kinds={"python"},
    description=(
        "Precision, recall and lead time of hotspots one hour ahead, and the crowded passenger-minutes avoided when "
        "recommendations are followed: the same simulated days with and without. Takes minutes and reads nothing of "
        "the installation; run it by the job `evaluate_hotspots`."
    ),
)
def hotspot_evaluation(context: AssetExecutionContext, config: EvaluationConfig) -> MaterializeResult[None]:
    """Let a simulated city live, judge what was forecast, follow what is recommended."""
    from orchestration.evaluation.hotspots import evaluate
    from orchestration.evaluation.tables import figures, tables

    measured = evaluate(config.seed, weeks=config.weeks, days=config.days, buses=config.buses, say=context.log.info)
    return MaterializeResult(metadata={**figures(measured), "tables": MetadataValue.md(tables(measured))})
