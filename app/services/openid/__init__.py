"""Signing in with an organization's own provider: OpenID Connect, authorization code with PKCE."""
