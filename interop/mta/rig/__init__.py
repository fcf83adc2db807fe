"""A rig of real MTAs around the gateways: everything on loopback, in one temporary directory."""
