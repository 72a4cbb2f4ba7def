"""Endpoints that behave as providers do."""
