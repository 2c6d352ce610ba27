"""From the outside world to `raw.*` and `live.*`: gateways, the lander, bulk loads, replays and the simulator."""
