"""What the product does, in the stages a log passes through. Knows neither HTTP requests nor Celery."""
