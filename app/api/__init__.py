"""The first door: HTTP. Parses, calls one service, shapes the answer."""
