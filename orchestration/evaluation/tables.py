"""What the evaluation measured, for people: Markdown tables, and figures under stable names."""

from __future__ import annotations

import math
from statistics import median

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
        counted = f"{own.forecast} | {own.true} | {_percent(own.precision)} | {_percent(own.recall)}"
        lines.append(f"| {what}: {who} | {counted} | {share} | {lead} |")
    nothing = evaluation.arms[0].crowded_minutes
    lines += [
        "",
        "| advice followed | pieces | crowded passenger-minutes | avoided | promised | promises kept |",
        "|---|---|---|---|---|---|",
    ]
    for arm in evaluation.arms:
        avoided = nothing - arm.crowded_minutes
        share = f" ({avoided / nothing:.1%})" if nothing else ""
        pieces, promised = (len(arm.promises), f"{arm.promised_minutes:,.0f}") if arm.promises else ("–", "–")
        lines.append(
            f"| {arm.name} | {pieces} | {arm.crowded_minutes:,.0f} | {avoided:,.0f}{share} | {promised} "
            f"| {_percent(arm.kept_share)} |"
        )
    return "\n".join(lines)


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def figures(evaluation: Evaluation) -> dict[str, float]:
    """The main figures under stable names, so that the asset graph draws their history.

    What could not be measured is left out: the graph cannot show NaN, one would hide all the others.
    """
    route, site = evaluation.hits["forecast", "route"], evaluation.hits["forecast", "site"]
    promises = [one for arm in evaluation.arms for one in arm.promises]
    promised = sum(one.middle for one in promises)
    found = {
        "route_precision": route.precision,
        "route_recall": route.recall,
        "venue_precision": site.precision,
        "venue_recall": site.recall,
        "avoided_share": evaluation.avoided_share,
        "crowded_minutes": evaluation.arms[0].crowded_minutes,
        "avoided_of_promised": sum(one.avoided for one in promises) / promised if promised else math.nan,
        "promises_kept": sum(one.is_kept for one in promises) / len(promises) if promises else math.nan,
    }
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}
