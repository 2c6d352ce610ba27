"""How good hotspots and recommendations are, in a world whose truth is known. Pure: the world is an interface."""
