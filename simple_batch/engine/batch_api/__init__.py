"""Providers' own batch APIs, behind one protocol (batch_client.py): a file for each API."""
