"""Servers elsewhere that speak OpenAI's API: their models are listed here and asked there, and nothing else is."""
