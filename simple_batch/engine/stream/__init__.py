"""Answers that come as a stream of server-sent events, read piece by piece and put together as the
JSON that the same call would have given without a stream."""
