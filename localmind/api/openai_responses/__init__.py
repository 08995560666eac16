"""OpenAI's Responses: stateless, or built on an answer before; what Codex and Copilot's command line speak."""

from localmind.api.openai_responses.routes import router

__all__ = ["router"]
