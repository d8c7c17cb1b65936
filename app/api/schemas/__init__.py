"""JSON schemas of requests and responses; module names as in `routes`."""
