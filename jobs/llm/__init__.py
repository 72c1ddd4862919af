"""Requests to a language model: prompts, engines, the store of answers, and the check of every answer."""
