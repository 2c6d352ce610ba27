"""The champion: weekly profile + one global XGBoost on what it leaves, with a conformal band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from forecasting import artefact, residual, scoring
from forecasting.events import Events
from forecasting.features import NAMES
from forecasting.intervals import Bands, calibrate, spread_unit
from forecasting.local_grid import DAY_HOURS
from forecasting.metrics import coverage, wape
from forecasting.panel import HOUR_NS, Floats, Ints, Panel, PanelError, build_panel, zones
from forecasting.residual import ResidualModel
from forecasting.training_rows import VALIDATION_DAYS, Rows, Zone, build_zones, training_rows

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "four_week_mean"
DAY_NS = 24 * HOUR_NS
# Scoring needs the profile's look-back and a year and a month for last year's deviations, no more.
SCORING_WEEKS = 80
# Below this many training rows the profile alone forecasts.
MIN_ROWS = 500


@dataclass(frozen=True)
class ForecastModel:
    """A trained model: it forecasts any panel of like sites from any origin.

    Attributes:
        residual: what to add to the profile, or None where there was too little to learn from.
        bands: calibrated 80 % band.
        tz: one IANA time zone, or one for each site.
        groups: group of each site; a site without one belongs to the group "".
        events: the calendar the model was trained with.
        metadata: seed, data window, features, package versions, validation metrics.
    """

    residual: ResidualModel | None
    bands: Bands
    tz: str | dict[str, str]
    groups: dict[str, str]
    events: Events
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Name of this model, from a hash of its content: equal models have equal names."""
        return artefact.version(self)

    def to_bytes(self) -> bytes:
        """The whole model as one zip archive of XGBoost's binary JSON and plain JSON; nothing executable."""
        return artefact.dump(self)

    @classmethod
    def from_bytes(cls, stored: bytes) -> ForecastModel:
        """Read what `to_bytes` wrote.

        Raises:
            ArtefactError: the bytes are not such an archive, or of another format or feature list.
        """
        return artefact.load(stored)

    def predict(
        self, panel: pd.DataFrame, *, origin: pd.Timestamp, horizon: int, sites: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Forecast every site for each hour from the origin to `horizon` hours on.

        Args:
            panel: tidy history as for `train`; rows at or after the origin are not used.
            origin: first hour to forecast, time-zone aware, a full hour.
            horizon: number of hours.
            sites: which sites, in this order; by default all of the panel. A site without history gets its group's
                profile.

        Returns:
            `site_id, origin, hour, horizon_h (1…horizon), prediction, p10, p90, baseline, method`. `baseline` is the
            mean of the same hour of week over the last four weeks. `method` is `profile+xgboost`; `profile` for less
            than two weeks of history or eight days of silence; `group_profile` for no history; `closed` for a known
            closure, and for an hour of the week in which a site was never observed although it reported for three
            weeks (it does not open then).
        """
        import pandas as pd

        if horizon < 1:
            raise PanelError(f"horizon must be at least 1 hour, not {horizon}")
        since = origin - pd.Timedelta(weeks=SCORING_WEEKS)
        # Sites outside the request still tell what the group looks like.
        data = build_panel(panel, until=origin, since=since)
        wanted = list(sites) if sites is not None else list(_all_sites(panel))
        data = _with_sites(data, wanted, origin.value)
        scored = {}
        for zone in self.zones(data):
            scores = scoring.score(zone, origin.value, horizon, self.residual, self.bands)
            scored.update({int(row): (scores, at) for at, row in enumerate(zone.grid.rows)})
        position = {name: row for row, name in enumerate(data.sites)}
        return _frame(wanted, [scored[position[name]] for name in wanted], origin, horizon)

    def explain(self, panel: pd.DataFrame, *, origin: pd.Timestamp, site: str, hour: pd.Timestamp) -> dict[str, Any]:
        """Why one forecast is what it is.

        Returns:
            `profile` (what is usual then) and `adjustment` (what the model adds), both in the unit of the values;
            `shares`: what each feature, and the constant, adds, in that unit; `values`: the features, in units of the
            site's scale.
        """
        data = _with_sites(build_panel(panel, until=origin), [site], origin.value)
        row = data.sites.index(site)
        zone = next(zone for zone in self.zones(data) if row in zone.grid.rows)
        at = int(np.flatnonzero(zone.grid.rows == row)[0])
        snapshot = zone.snapshot(origin.value)
        day, local_hour = zone.grid.cells(np.array([hour.value]))
        ahead = day - snapshot.day
        profile = float(snapshot.profile.level[at, (6 + int(ahead[0])) % 7, int(local_hour[0])])
        # A site for which the profile alone speaks has nothing else to explain.
        if self.residual is None or scoring.METHODS[scoring.methods_of(zone, snapshot, True)[at]] != scoring.MODEL:
            return {"profile": profile, "adjustment": 0.0, "shares": {}, "values": {}}
        features = zone.features(snapshot, origin.value, np.array([at]), ahead, local_hour)
        shares = self.residual.contributions(features) * float(snapshot.profile.scale[at])
        return {
            "profile": profile,
            "adjustment": float(shares.sum()),
            "shares": {name: float(share) for name, share in zip((*NAMES, "constant"), shares, strict=True)},
            "values": {name: float(value) for name, value in zip(NAMES, features[0], strict=True)},
        }

    def zones(self, panel: Panel) -> list[Zone]:
        """The panel laid out on the wall clocks of its sites."""
        return build_zones(panel, zones(panel.sites, self._tz(panel)), _numbered(panel.sites, self.groups), self.events)

    def _tz(self, panel: Panel) -> str | dict[str, str]:
        if isinstance(self.tz, str):
            return self.tz
        # A site that opened after training keeps the clock of most sites.
        named = list(self.tz.values())
        usual = max(sorted(set(named)), key=named.count)
        return {site: self.tz.get(site, usual) for site in panel.sites}


def train(
    panel: pd.DataFrame, *, tz: str | Mapping[str, str], groups: Mapping[str, str] | None = None,
    calendar: pd.DataFrame | Events | None = None, seed: int = 7, max_horizon: int = 168,
) -> ForecastModel:  # fmt: skip
    """Train on everything in the panel; the training origin is the hour after the last observation.

    Args:
        panel: `site_id`, `hour` (time-zone aware start of the hour), `value` (NaN allowed), optionally `capacity`,
            `is_imputed`.
        tz: IANA time zone of all sites, or of each.
        groups: group of each site (its kind, its route's mode …): sites with little history lean on their group.
        calendar: `site_id` or `*`, `start`, `end`, `kind`, `name`, `known_at`; see `events.Events`.
        seed: of the sampling and of the trees; the same data and seed give the same model.
        max_horizon: longest horizon to learn, hours.

    Raises:
        PanelError: the panel or the calendar cannot be used.
    """
    return train_panel(build_panel(panel), tz, dict(groups or {}), Events.from_frame(calendar), seed, max_horizon)


def train_panel(
    panel: Panel, tz: str | Mapping[str, str], groups: dict[str, str], events: Events, seed: int, max_horizon: int
) -> ForecastModel:
    """`train` on a panel that is laid out already."""
    if not np.isfinite(panel.values).any():
        raise PanelError("column 'value' holds no observation: there is nothing to learn from")
    zone_names: str | dict[str, str] = tz if isinstance(tz, str) else dict(tz)
    laid_out = build_zones(panel, zones(panel.sites, zone_names), _numbered(panel.sites, groups), events)
    rows = training_rows(panel, laid_out, max_horizon, np.random.default_rng(seed))
    fitted, bands, metrics = _fit(rows, panel.end_ns, seed, _shares(panel))
    metadata = _metadata(panel, rows, seed, max_horizon) | {"validation": metrics}
    return ForecastModel(fitted, bands, zone_names, groups, events, metadata)


def _fit(rows: Rows, end_ns: int, seed: int, shares: Floats) -> tuple[ResidualModel | None, Bands, dict[str, float]]:
    """Fit on all but the last weeks, calibrate on those, then fit on everything with the size that proved right."""
    nothing = np.empty(0)
    no_bands = calibrate(nothing, nothing, nothing, nothing.astype(np.int64), nothing.astype(np.int64))
    if len(rows) < MIN_ROWS:
        return None, no_bands, {}
    span = end_ns - int(rows.origin_ns.min())
    cut = end_ns - min(VALIDATION_DAYS * DAY_NS, int(span * 0.25))
    before, after = rows.where(rows.target_ns < cut), rows.where(rows.origin_ns >= cut)
    if len(before) < MIN_ROWS or len(after) < MIN_ROWS // 5:
        return None, no_bands, {}
    trial, rounds = residual.fit_validated(before, after, seed, shares)
    prediction = np.maximum(after.profile + trial.apply(after.features) * after.scale, 0)
    bands, metrics = _calibrated(after, prediction)
    # More data carries a few more trees.
    fitted = residual.fit(rows, seed, tuple(int(count * 1.1) + 1 for count in rounds), shares)
    sizes = {f"trees_{trees.name}": count for trees, count in zip(residual.TREES, rounds, strict=True)}
    return fitted, bands, metrics | sizes | {"validation_rows": len(after)}


def _shares(panel: Panel) -> Floats:
    seen = np.isfinite(panel.values)
    weeks = np.unique(np.flatnonzero(seen.any(axis=0)) // (7 * DAY_HOURS))
    return residual.shares_for(int(seen.sum()), len(weeks))


def _calibrated(rows: Rows, prediction: Floats) -> tuple[Bands, dict[str, float]]:
    """The bands, with coverage measured on days that a calibration on the other days had not seen."""
    unit = spread_unit(rows.spread, prediction, rows.scale)
    horizon, hour = rows.features[:, 0].astype(np.int64), rows.features[:, 1].astype(np.int64)
    odd = (rows.target_ns // DAY_NS) % 2 == 1
    days = len(np.unique(rows.target_ns // DAY_NS))
    half_days = len(np.unique(rows.target_ns[odd] // DAY_NS))
    half = calibrate(rows.actual[odd], prediction[odd], unit[odd], horizon[odd], hour[odd], half_days)
    low, high = half.ends(prediction[~odd], unit[~odd], horizon[~odd], hour[~odd])
    column = {name: rows.features[:, NAMES.index(name)] for name in ("last_week", "four_week_mean")}
    metrics = {
        "wape": wape(rows.actual, prediction),
        "wape_profile": wape(rows.actual, rows.profile),
        "wape_seasonal_naive_168": wape(rows.actual, rows.profile + column["last_week"] * rows.scale),
        "wape_four_week_mean": wape(rows.actual, rows.profile + column["four_week_mean"] * rows.scale),
        "coverage": coverage(rows.actual[~odd], low, high),
    }
    bands = calibrate(rows.actual, prediction, unit, horizon, hour, days)
    return bands, {name: round(float(value), 5) for name, value in metrics.items()}


def _metadata(panel: Panel, rows: Rows, seed: int, max_horizon: int) -> dict[str, Any]:
    seen = np.flatnonzero(np.isfinite(panel.values).any(axis=0))
    return {
        "seed": seed,
        "max_horizon": max_horizon,
        "trained_from": _iso(panel.first_hour_ns + HOUR_NS * int(seen[0])),
        "trained_to": _iso(panel.end_ns),
        "sites": len(panel.sites),
        "training_rows": len(rows),
        "features": list(NAMES),
        "baseline": BASELINE,
        "packages": artefact.package_versions(),
    }


def _iso(instant_ns: int) -> str:
    return f"{np.datetime64(instant_ns, 'ns').astype('datetime64[s]')}Z"


def _numbered(sites: Sequence[str], groups: Mapping[str, str]) -> Ints:
    """A number for each site's group."""
    names = [groups.get(site, "") for site in sites]
    order = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], dtype=np.int64)


def _all_sites(frame: pd.DataFrame) -> list[str]:
    return sorted({str(name) for name in frame["site_id"].unique()})


def _with_sites(panel: Panel, wanted: Sequence[str], origin_ns: int) -> Panel:
    """Add a row of gaps for each wanted site that has no history."""
    extra = tuple(name for name in wanted if name not in set(panel.sites))
    first = panel.first_hour_ns if panel.values.shape[1] else origin_ns - HOUR_NS
    width = max(panel.values.shape[1], 1)

    def padded(matrix: Floats) -> Floats:
        gaps = np.full((len(panel.sites) + len(extra), width), np.nan, dtype=np.float32)
        gaps[: len(panel.sites), : matrix.shape[1]] = matrix
        return gaps

    capacity = None if panel.capacity is None else padded(panel.capacity)
    return Panel(panel.sites + extra, first, padded(panel.values), capacity)


def _frame(
    names: Sequence[str], scored: list[tuple[scoring.Scores, int]], origin: pd.Timestamp, horizon: int
) -> pd.DataFrame:
    import pandas as pd

    def column(pick: str) -> Floats:
        return np.concatenate([getattr(scores, pick)[at] for scores, at in scored]) if scored else np.empty(0)

    start = origin.tz_convert("UTC")
    hours = pd.date_range(start, periods=horizon, freq="h", unit="ns")
    return pd.DataFrame(
        {
            "site_id": np.repeat(np.array(names, dtype=object), horizon),
            "origin": pd.DatetimeIndex([start] * (horizon * len(names))).as_unit("ns"),
            "hour": np.tile(hours.tz_localize(None).to_numpy(), len(names)),
            "horizon_h": np.tile(np.arange(1, horizon + 1), len(names)),
            "prediction": column("prediction"),
            "p10": column("p10"),
            "p90": column("p90"),
            "baseline": np.concatenate([s.baseline[BASELINE][at] for s, at in scored]) if scored else np.empty(0),
            "method": scoring.METHODS[column("method").astype(np.int64)],
        }
    ).assign(hour=lambda frame: frame["hour"].dt.tz_localize("UTC"))
