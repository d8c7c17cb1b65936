"""GiftPulse: watches Twilio accounts and tells people and systems when something goes wrong."""

import gc

from app.utils.optional_imports import skip_unused

__version__ = "0.1.0"

# What is loaded lives as long as the process. With Python's own 700 the garbage collector looks through it 400 times
# while a process starts, which is a tenth of the start; with more than 3,000 a server takes more memory.
gc.set_threshold(3_000)
skip_unused()
