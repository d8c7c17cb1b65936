"""The pages: each reads its data through services and renders one template."""
