"""What each resource looks like on the wire; module names as in `routes`."""
