"""The HTTP API: parses requests, calls one service, builds the response."""
