"""A chaos run: GiftPulse under load while its processes, servers, receivers and Twilio fail, and a judge of what came.

    python -m scripts.chaos --seed 7 --seconds 60

It prints its seed; the same one deals the same blows in the same order. What is judged: every log that the simulated
Twilio had is stored as it was last; the alerts are those that a reference evaluator expects; every notification that is
owed was taken by its receiver, in order, under one id; and a receiver got one twice only where an attempt at it was cut
short before its answer was known.
"""
