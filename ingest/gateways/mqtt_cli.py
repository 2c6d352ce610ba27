"""`plimsoll mqtt`: run the bridge from MQTT to Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Bring what devices publish over MQTT into Kafka.")


@app.callback()
def _group() -> None:
    """Keep `run` a command of its own while it is the only one."""


@app.command()
def run(
    tenant: Annotated[
        str | None, typer.Option(help="Owner of what comes in; default: PLIMSOLL_DEFAULT_TENANT.")
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            help="Name at the broker, which keeps messages for it; one bridge each. Default: plimsoll-bridge."
        ),
    ] = None,
) -> None:
    """Bridge until Ctrl-C or SIGTERM; a message is acknowledged to the broker when Kafka has it."""
    import signal

    from ingest.gateways.metrics import BridgeMetrics
    from ingest.gateways.mqtt import Bridge, BridgeSettings, link_from
    from plimsoll.contracts import load_contracts
    from plimsoll.logging import configure
    from plimsoll.metrics import new_registry, serve
    from plimsoll.settings import Settings

    settings = Settings.load()
    configure(settings.log_level)
    if client_id:
        settings = settings.model_copy(update={"mqtt_client_id": client_id})
    bridge = Bridge(
        link_from(settings),
        settings.require_kafka(),
        settings.require_database_url(),
        load_contracts(settings.contracts_dir),
        BridgeSettings(
            tenant_id=tenant or settings.default_tenant,
            unregistered_devices=settings.mode == "development",
            max_message_bytes=settings.max_body_bytes,
        ),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: bridge.stop())
    registry = new_registry()
    registry.register(BridgeMetrics(bridge))
    serve(registry, settings.host, settings.mqtt_metrics_port, "PLIMSOLL_MQTT_METRICS_PORT")
    bridge.run()
    typer.echo(f"accepted {bridge.accepted.total():,} events, refused {bridge.refused.total():,}")
