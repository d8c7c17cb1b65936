"""The web console: server-rendered pages on the API's process. It calls services, never the JSON API."""
