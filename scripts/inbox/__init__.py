"""The inbox: receives and shows the mails and webhooks of a GiftPulse without a mail server.

For trying GiftPulse out and for tests. It knows nothing of `app`: what it cannot read or verify, no receiver could.
"""
