"""This machine: what it has, how a model is laid on it, what that did last time, and the engine built for it."""
