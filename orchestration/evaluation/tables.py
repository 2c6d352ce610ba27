"""What the evaluation measured, for people: Markdown tables, and figures under stable names."""

from __future__ import annotations

from statistics import median
from typing import Any

from orchestration.evaluation.hotspots import Evaluation


def tables(evaluation: Evaluation) -> str:
    """What was measured, as two Markdown tables."""
    lines = [
        "| crowded hours, one hour ahead | said | were | precision | recall | windows foreseen | median lead |",
        "|---|---|---|---|---|---|---|",
    ]
    for (who, kind), own in evaluation.hits.items():
        leads = evaluation.leads_h[kind] if who == "forecast" else []
        foreseen = [lead for lead in leads if lead is not None]
        share = f"{len(foreseen)} of {len(leads)}" if leads else "–"
        lead = f"{median(foreseen):.0f} h" if foreseen else "–"
        what = "routes × direction" if kind == "route" else "venues"
        counted = f"{own.forecast} | {own.true} | {own.precision:.0%} | {own.recall:.0%}"
        lines.append(f"| {what}: {who} | {counted} | {share} | {lead} |")
    nothing = evaluation.arms[0].crowded_minutes
    lines += [
        "",
        "| advice followed | times | crowded passenger-minutes | avoided | expected |",
        "|---|---|---|---|---|",
    ]
    for arm in evaluation.arms:
        times, avoided = sum(arm.followed.values()), nothing - arm.crowded_minutes
        lines.append(
            f"| {arm.name} | {times} | {arm.crowded_minutes:,.0f} | {avoided:,.0f} ({avoided / nothing:.1%}) "
            f"| {arm.expected_minutes:,.0f} |"
        )
    return "\n".join(lines)


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """The main figures under stable names, so that the asset graph draws their history."""
    route, site = evaluation.hits["forecast", "route"], evaluation.hits["forecast", "site"]
    return {
        "route_precision": route.precision,
        "route_recall": route.recall,
        "venue_precision": site.precision,
        "venue_recall": site.recall,
        "avoided_share": evaluation.avoided_share,
        "crowded_minutes": evaluation.arms[0].crowded_minutes,
    }
