"""`plimsoll api`: serve the API until Ctrl-C or SIGTERM."""

from __future__ import annotations

SETTING = "PLIMSOLL_API_PORT"
GRACE_S = 10


def api() -> None:
    """Serve the API, its documentation and the page; requests in hand are finished before it stops."""
    import uvicorn

    from plimsoll.logging import configure
    from plimsoll.settings import Settings
    from plimsoll.stack.ports import require_free
    from serving.app import create_app

    settings = Settings.load()
    configure(settings.log_level)
    app = create_app(settings)
    require_free(settings.api_port, "the API", SETTING)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.api_port,
        loop="uvloop",
        http="httptools",
        log_config=None,  # one format for every process: plimsoll.logging
        access_log=False,  # /metrics counts the requests
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        # Compressing every small frame costs most of a core at a few hundred sockets.
        ws_per_message_deflate=False,
    )
