"""Measures how many logs a second get from Twilio's lists to alerts, next to what the database could do at best.

`python -m benchmarks.ingest` measures the whole, `python -m benchmarks.ingest.stages` the cost of a log at each stage.
"""
