"""How many logs a second go from Twilio's lists to alerts, beside what the database could do at best.

`python -m benchmarks.ingest` measures the whole, `python -m benchmarks.ingest.stages` what a log costs at each stage.
"""
