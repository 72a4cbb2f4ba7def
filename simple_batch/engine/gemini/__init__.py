"""Gemini's own API for clients of OpenAI's: requests and answers of its batches."""
