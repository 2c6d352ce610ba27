"""Two models over the same hours: gain with a block-bootstrap interval, gain by segment, coverage of both bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting.metrics import coverage, wape
from forecasting.operation.promotion import Comparison
from forecasting.panel import Floats

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

RESAMPLES, SEED, LEVEL = 2000, 7, 0.95
# A segment that carries less of all people than this is noise: nights with three visitors decide nothing.
MIN_SEGMENT_SHARE = 0.01
HORIZONS = {"the first day": (1, 24), "days 2 and 3": (25, 72), "days 4 to 7": (73, 168)}
HOURS = {"night (0–6 h)": (0, 6), "morning (6–12 h)": (6, 12), "afternoon (12–18 h)": (12, 18), "evening": (18, 24)}


def compare(told: pd.DataFrame, tz: Mapping[str, str], champion_trained_to: pd.Timestamp) -> Comparison | None:
    """Compare what two models said; None where nothing was observed or the champion was never wrong.

    Args:
        told: `site_id, hour, horizon_h, value, prediction, p10, p90` and the champion's `champion_prediction,
            champion_p10, champion_p90`; one row for each site, origin and hour.
        tz: IANA time zone by site.
        champion_trained_to: end of the champion's training data.
    """
    rows = told[told["value"].notna() & told["prediction"].notna() & told["champion_prediction"].notna()]
    actual = rows["value"].to_numpy(dtype=np.float64)
    error = np.abs(actual - rows["prediction"].to_numpy())
    champion_error = np.abs(actual - rows["champion_prediction"].to_numpy())
    if not actual.sum() > 0 or not champion_error.sum() > 0:
        return None
    day = rows["hour"].dt.floor("D")
    low, high = _interval(day.factorize()[0], error, champion_error)
    return Comparison(
        wape=wape(actual, rows["prediction"].to_numpy()),
        champion_wape=wape(actual, rows["champion_prediction"].to_numpy()),
        gain_low=low,
        gain_high=high,
        segments=_segments(rows, tz, actual, error, champion_error),
        coverage=coverage(actual, rows["p10"].to_numpy(), rows["p90"].to_numpy()),
        champion_coverage=coverage(actual, rows["champion_p10"].to_numpy(), rows["champion_p90"].to_numpy()),
        days=int(day.nunique()),
        champion_knew=float((rows["hour"] < champion_trained_to).mean()),
    )


def _interval(block: np.ndarray[Any, Any], error: Floats, champion_error: Floats) -> tuple[float, float]:
    """Percentile interval of the gain, days drawn with replacement: errors of one day share its weather and events.

    Künsch (1989), "The jackknife and the bootstrap for general stationary observations", with blocks of one day over
    all sites.
    """
    by_block = np.bincount(block, weights=error), np.bincount(block, weights=champion_error)
    drawn = np.random.default_rng(SEED).integers(0, len(by_block[0]), (RESAMPLES, len(by_block[0])))
    ours, theirs = (sums[drawn].sum(axis=1) for sums in by_block)
    gains = 1 - ours / np.maximum(theirs, 1e-12)
    low, high = np.quantile(gains, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _segments(
    rows: pd.DataFrame, tz: Mapping[str, str], actual: Floats, error: Floats, champion_error: Floats
) -> dict[str, float]:
    gains = {}
    for name, mask in _masks(rows, tz, actual).items():
        theirs = champion_error[mask].sum()
        if theirs > 0 and actual[mask].sum() >= MIN_SEGMENT_SHARE * actual.sum():
            gains[name] = float(1 - error[mask].sum() / theirs)
    return gains


def _masks(rows: pd.DataFrame, tz: Mapping[str, str], actual: Floats) -> dict[str, np.ndarray[Any, Any]]:
    import pandas as pd

    horizon = rows["horizon_h"].to_numpy()
    masks = {name: (horizon >= first) & (horizon <= last) for name, (first, last) in HORIZONS.items()}
    site = rows["site_id"].astype(str)
    hour, weekday = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    zone = site.map(lambda name: tz.get(name, "UTC")).to_numpy()
    for name in np.unique(zone):
        here = zone == name
        local = pd.DatetimeIndex(rows["hour"][here]).tz_convert(name)
        hour[here], weekday[here] = local.hour, local.day_of_week
    masks |= {name: (hour >= first) & (hour < last) for name, (first, last) in HOURS.items()}
    masks |= {"weekdays": weekday < 5, "weekends": weekday >= 5}
    size = pd.Series(actual).groupby(site.to_numpy()).mean()
    if len(size) >= 3:
        third = pd.qcut(size.rank(method="first"), 3, labels=["quiet series", "middling series", "busy series"])
        of_row = third.reindex(site.to_numpy()).to_numpy()
        masks |= {str(name): of_row == name for name in third.unique()}
    return masks
