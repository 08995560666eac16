"""Runs one loaded model inside the engine worker: many requests, one batch, one thread.

Only `llama.py` touches the native library and only the worker process imports it. The daemon knows
this package by its worker's methods (see `worker.py`), never by import.
"""
