"""Domain types, settings, errors, messages, events and other helpers that every room uses.

Imports no other room.
"""
