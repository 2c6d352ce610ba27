"""The model as bytes: a zip of XGBoost's binary JSON and plain JSON, read without executing anything of it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, Any

from forecasting.events import Events
from forecasting.features import NAMES
from forecasting.intervals import Bands
from forecasting.linear import LinearStage
from forecasting.residual import TREES, ResidualModel
from plimsoll.errors import PlimsollError

if TYPE_CHECKING:
    from forecasting.model import ForecastModel

FORMAT = 2
TREE_FILES = tuple(f"{trees.name}.ubj" for trees in TREES)
PACKAGES = ("numpy", "pandas", "xgboost-cpu", "holidays", "plimsoll")
# Zip entries carry a time; a fixed one keeps equal models equal to the byte.
_ENTRY_TIME = (1980, 1, 1, 0, 0, 0)


class ArtefactError(PlimsollError):
    """The stored model cannot be read by this version."""


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a model."""
    return {name: installed_version(name) for name in PACKAGES}


def version(model: ForecastModel) -> str:
    """Twelve hex digits of the hash over all that determines the forecasts."""
    digest = hashlib.sha256(_canonical(_content(model)))
    for trees in _trees(model).values():
        digest.update(trees)
    return digest.hexdigest()[:12]


def dump(model: ForecastModel) -> bytes:
    """Write the archive; equal models give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        description = _canonical(_content(model) | {"metadata": model.metadata})
        for name, content in {"model.json": description, **_trees(model)}.items():
            entry = zipfile.ZipInfo(name, date_time=_ENTRY_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return packed.getvalue()


def load(stored: bytes) -> ForecastModel:
    """Read the archive.

    Raises:
        ArtefactError: not such an archive, or of another format or feature list.
    """
    from forecasting.model import ForecastModel

    try:
        with zipfile.ZipFile(io.BytesIO(stored)) as archive:
            content: dict[str, Any] = json.loads(archive.read("model.json"))
            trees = {name: archive.read(name) for name in TREE_FILES if content["residual"]}
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ArtefactError(f"the stored model is damaged or not a model ({error}); train again") from error
    if content.get("format") != FORMAT or content.get("features") != list(NAMES):
        raise ArtefactError("the stored model was made by another version of this software; train again")
    return ForecastModel(
        residual=_residual(content["residual"], trees),
        bands=Bands.from_json(content["bands"]),
        tz=content["tz"],
        groups=content["groups"],
        events=Events.from_json(content["events"]),
        metadata=content["metadata"],
    )


def _content(model: ForecastModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "features": list(NAMES),
        "residual": None if model.residual is None else _described(model.residual),
        "bands": model.bands.to_json(),
        "tz": model.tz,
        "groups": model.groups,
        "events": model.events.to_json(),
    }


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _described(residual: ResidualModel) -> dict[str, Any]:
    return {"linear": residual.linear.to_json(), "shares": residual.shares.tolist()}


def _trees(model: ForecastModel) -> dict[str, bytes]:
    if model.residual is None:
        return {}
    named = zip(TREE_FILES, model.residual.trees, strict=True)
    return {name: bytes(booster.save_raw("ubj")) for name, booster in named}


def _residual(described: dict[str, Any] | None, trees: dict[str, bytes]) -> ResidualModel | None:
    if described is None:
        return None
    import numpy as np

    linear = LinearStage(np.asarray(described["linear"]))
    boosters = tuple(_booster(trees[name]) for name in TREE_FILES)
    return ResidualModel(linear, boosters, np.asarray(described["shares"]))


def _booster(trees: bytes) -> Any:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(trees))
    return booster
