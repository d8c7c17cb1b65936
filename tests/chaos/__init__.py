"""A chaos run: GiftPulse under load while its processes, servers, receivers and Twilio fail, and a check of the result.

    python -m tests.chaos --seed 7 --seconds 60

It prints its seed; the same seed injects the same faults in the same order. The run checks that every log of the
simulated Twilio is stored in its last state; that the alerts are those of a reference evaluator; that every
notification arrived at its receiver, in order and with one id; and that duplicates occurred only after an attempt
whose result was lost.
"""
