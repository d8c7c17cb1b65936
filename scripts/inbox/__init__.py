"""The inbox: catches the mails and webhooks of a GiftPulse that nobody has given a mail server yet, and shows them.

For trying out and for tests. It knows nothing of `app`: what it cannot read or verify, no receiver could.
"""
