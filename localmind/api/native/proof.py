"""The daemon's answer to a client that wants to know who holds the port before it says anything (client/proof.py).

Anybody may ask: the answer tells nothing about the token, and another port's is another one.
"""

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from localmind.api.streams import JSON
from localmind.client.proof import PATH, proof_of


def router(token: str) -> APIRouter:
    routes = APIRouter()

    @routes.get(PATH)
    async def proof(request: Request, nonce: str = Query(pattern="^[0-9a-f]{64}$")) -> Response:
        """HMAC-SHA256 of the nonce and the port of this connection under the token."""
        server = request.scope.get("server") or ("", None)
        return JSON({"proof": proof_of(token, nonce, server[1] or 0)})

    return routes
