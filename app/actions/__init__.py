"""One module per kind of action. A sender gets a finished snapshot and knows no database."""
