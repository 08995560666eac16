"""Anthropic's messages, for its SDK and for Claude Code."""

from localmind.api.anthropic.messages import router

__all__ = ["router"]
