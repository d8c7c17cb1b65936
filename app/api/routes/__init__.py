"""One module per resource. A handler parses, calls one service and builds the response."""
