"""The pages: each reads what it shows through services, and renders one template."""
