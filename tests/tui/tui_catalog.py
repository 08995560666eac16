"""What the fake daemon says of models and of folders."""

from typing import Any

MODELS: list[dict[str, Any]] = [
    {
        "name": "smollm2:135m",
        "role": "chat",
        "family": "SmolLM2",
        "licence": "Apache-2.0",
        "size": 98_362_432,
        "installed": True,
        "description": "Answers from a given passage.",
    },
    {
        "name": "qwen3:4b",
        "role": "chat",
        "family": "Qwen3",
        "licence": "Apache-2.0",
        "size": 2_497_280_000,
        "installed": False,
        "description": "Writes, explains and reasons.",
    },
    {
        "name": "giant:70b",
        "role": "chat",
        "family": "Giant",
        "licence": "MIT",
        "size": 42_000_000_000,
        "installed": False,
        "description": "For servers.",
    },
    {
        "name": "all-minilm:l6-v2",
        "role": "embed",
        "family": "MiniLM",
        "licence": "Apache-2.0",
        "size": 90_000_000,
        "installed": True,
        "description": "Turns text into vectors.",
    },
]
RECOMMENDED = {
    "picks": [
        {
            "use": "chat",
            "name": "qwen3:4b",
            "why": "the best of 12 that fits: 3.1 GB of 8.0 GB",
            "tokens_per_second": 12.4,
            "better": "giant:70b would be better, but it needs 45 GB",
        },
        {"use": "embed", "name": "all-minilm:l6-v2", "why": "quick enough for 2 cores", "better": ""},
    ],
    "starter": {"name": "smollm2:135m", "size": 98_000_000, "why": "it runs everywhere", "installed": False},
}


def added_folder(path: str) -> dict[str, Any]:
    return {
        "path": path,
        "files": 3,
        "state": "reading",
        "chunks": 9,
        "vectors_pending": 5,
        "errors": [],
        "problem": None,
        "watching": "events",
    }
