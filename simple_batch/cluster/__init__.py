"""Jobs run by several workers (``ENGINE=celery``): heartbeats, placement, shared limits, spend leases.

Loaded only where workers are configured.
"""
