"""Rows that exist only for several workers: pages of requests, assignments, the workers themselves."""
