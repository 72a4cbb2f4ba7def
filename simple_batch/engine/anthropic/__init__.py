"""Anthropic's Messages API: requests and answers are in OpenAI's form on our side and in Anthropic's on
the wire."""
