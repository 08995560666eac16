"""Requests as editors send them: bodies with their nulls, unknown keys and habits, and who reads the answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import client_rules as rules
import local_rules as local
from client_rules import Rule

M = "smollm2:135m"
HI = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
FLAT = {"type": "function", "name": "weather", "parameters": WEATHER["function"]["parameters"]}
USAGE = {"stream_options": {"include_usage": True}}
CHAT, TEXT, FILL = "/v1/chat/completions", "/v1/completions", "/infill"
SHORT_FIM = "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>"
STOPS = [f"<|stop{number}|>" for number in range(14)]
AGAIN = [
    *HI,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
]


@dataclass(frozen=True)
class Replay:
    client: str
    what: str
    path: str
    body: Mapping[str, Any] | None
    """None: a GET."""
    reads: Rule
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""
    calls: bool = False
    """The model answers with a tool call."""


def stream(**more: Any) -> dict[str, Any]:
    return {"model": M, "messages": HI, "stream": True, **more}


NULLS = {
    "num_ctx": 4096,
    "stop": None,
    "temperature": 0.7,
    "top_p": None,
    "top_k": None,
    "num_predict": None,
    "mirostat": None,
    "num_thread": None,
    "use_mmap": None,
    "min_p": None,
    "num_gpu": None,
}
EDITORS = [
    Replay(
        "Continue",
        "chat, usage asked for",
        CHAT,
        stream(**USAGE, prediction=None, max_tokens=4096),
        rules.continue_openai,
        {"authorization": "Bearer undefined", "api-key": "", "x-api-key": ""},
    ),
    Replay(
        "Continue",
        "tools",
        CHAT,
        stream(**USAGE, tools=[WEATHER], parallel_tool_calls=False),
        rules.continue_openai,
        calls=True,
    ),
    Replay("Continue", "show by name", "/api/show", {"name": M}, local.show),
    Replay("Continue", "tags", "/api/tags", None, local.tags),
    Replay(
        "Continue",
        "Ollama chat",
        "/api/chat",
        stream(options=NULLS | {"num_ctx": 8192}, keep_alive=1800, think=None),
        local.ollama_chat,
    ),
    Replay(
        "Continue",
        "autocomplete with a raw prompt",
        "/api/generate",
        {"model": M, "prompt": SHORT_FIM, "raw": True, "options": {"stop": STOPS, "num_predict": 99}, "stream": True},
        local.generate_lines,
    ),
    Replay(
        "Continue",
        "autocomplete with a suffix",
        "/api/generate",
        {"model": M, "prompt": "def f(", "suffix": "return x"},
        local.generate_lines,
    ),
    Replay(
        "Continue", "embeddings", "/api/embed", {"model": "all-minilm", "input": ["a", "b"]}, local.embeddings_ollama
    ),
    Replay("Continue", "rerank", "/v1/rerank", {"model": "r", "query": "q", "documents": ["a", "bc"]}, rules.rerank),
    Replay(
        "Continue",
        "llama.cpp completion",
        "/completion",
        {"model": M, "prompt": "x", "stream": True, "n_predict": 99, "mirostat": None, "stop": STOPS, "top_k": 40},
        local.continue_llamacpp,
    ),
    Replay(
        "Continue",
        "Codestral's fim",
        "/v1/fim/completions",
        {"model": M, "prompt": "a", "suffix": "b", "max_tokens": 9, "stop": ["\n"], "stream": True},
        rules.mistral_fim,
    ),
    Replay("Continue", "models", "/v1/models", None, rules.models_openai, {"authorization": "Bearer "}),
    Replay(
        "llama.vim",
        "fill in the middle",
        FILL,
        {
            "id_slot": 0,
            "input_prefix": "a\n",
            "input_suffix": "b\n",
            "input_extra": [{"text": "x", "time": [1, 2], "filename": "f.py"}],
            "prompt": "de",
            "n_predict": 128,
            "stop": [],
            "n_indent": 4,
            "top_k": 40,
            "top_p": 0.9,
            "samplers": ["top_k", "top_p", "infill"],
            "stream": False,
            "cache_prompt": True,
            "t_max_prompt_ms": 500,
            "t_max_predict_ms": 1000,
            "response_fields": ["content", "timings/prompt_n", "timings/predicted_ms", "truncated", "tokens_cached"],
        },
        local.llama_vim_infill,
    ),
    Replay(
        "llama.vim",
        "warming",
        FILL,
        {
            "input_prefix": "a",
            "input_suffix": "b",
            "prompt": "",
            "n_predict": 0,
            "samplers": [],
            "t_max_prompt_ms": 1,
            "t_max_predict_ms": 1,
            "response_fields": [""],
        },
        local.llama_vim_warm,
    ),
    Replay(
        "llama.vim",
        "instruct",
        CHAT,
        stream(id_slot=0, min_p=0.1, temperature=0.1, samplers=["min_p", "temperature"], cache_prompt=True),
        rules.llama_vim_instruct,
    ),
    Replay(
        "llama.vscode",
        "several completions",
        FILL,
        {"input_prefix": "a", "input_suffix": "b", "n_cmpl": 1, "lora": []},
        local.has("content", "timings"),
    ),
    Replay(
        "llama.vscode", "chat", CHAT, {"model": M, "messages": HI, "stream": False, "lora": []}, rules.llama_vscode_chat
    ),
    Replay("llama.vscode", "models", "/v1/models", None, local.llama_vscode_models),
    Replay("llama.vscode", "props", f"/props?model={M}&autoload=false", None, local.llama_vscode_props),
    Replay("llama.vscode", "template", "/apply-template", {"messages": HI, "tools": [WEATHER]}, local.has("prompt")),
    Replay("llama.vscode", "tokens", "/tokenize", {"content": "a b"}, local.has("tokens")),
    Replay("Cline", "Ollama chat", "/api/chat", stream(options={"num_ctx": 32768}), local.ollama_chat),
    Replay(
        "Cline",
        "the result of a tool",
        "/api/chat",
        {
            "model": M,
            "messages": [
                *HI,
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "weather", "arguments": {}}}],
                },
                {"role": "tool", "tool_name": "weather", "tool_call_id": "call_1", "content": "sunny"},
            ],
        },
        local.ollama_chat,
    ),
    Replay("Cline", "OpenAI-compatible", CHAT, stream(**USAGE, temperature=0), rules.ai_sdk),
    Replay("Cline", "a base that ends in a slash", "/v1//models", None, rules.models_openai),
    Replay("Roo Code", "tags", "/api/tags", None, local.tags),
    Replay("Roo Code", "show", "/api/show", {"model": M}, local.show),
    Replay(
        "Roo Code",
        "Ollama chat with tools",
        "/api/chat",
        stream(options={"temperature": 0}, tools=[WEATHER]),
        local.ollama_chat,
        calls=True,
    ),
    Replay(
        "Roo Code",
        "OpenAI-compatible",
        CHAT,
        stream(**USAGE, tools=[WEATHER], tool_choice="auto", parallel_tool_calls=True, thinking={"type": "enabled"}),
        rules.sdk_openai,
        calls=True,
    ),
    Replay(
        "Zed chat",
        "Ollama with nulls and no tools",
        "/api/chat",
        stream(keep_alive=-1, options=NULLS, tools=[], think=None),
        local.zed_ollama,
    ),
    Replay(
        "Zed chat",
        "Ollama with a call",
        "/api/chat",
        stream(keep_alive="5m", options=NULLS, tools=[WEATHER], think=True),
        local.zed_ollama,
        calls=True,
    ),
    Replay(
        "Zed chat",
        "OpenAI-compatible",
        CHAT,
        stream(
            **USAGE,
            max_completion_tokens=99,
            prompt_cache_key="k",
            reasoning_effort=None,
            tools=[WEATHER],
            tool_choice="auto",
        ),
        rules.zed_openai,
        calls=True,
    ),
    Replay("Zed chat", "LM Studio's models", "/api/v0/models", None, local.models_lmstudio),
    Replay("Zed chat", "LM Studio's chat", "/api/v0/chat/completions", stream(stop=[]), rules.zed_lmstudio),
    Replay(
        "Zed edit prediction",
        "Ollama",
        "/api/generate",
        {
            "model": M,
            "prompt": SHORT_FIM,
            "raw": True,
            "stream": False,
            "options": {"num_predict": 64, "temperature": 0.2, "stop": STOPS},
        },
        local.generate_whole,
    ),
    Replay(
        "Zed edit prediction",
        "OpenAI-compatible",
        TEXT,
        {"model": M, "prompt": SHORT_FIM, "max_tokens": 64, "stop": STOPS, "environment": None},
        rules.zed_raw_completion,
    ),
    Replay(
        "avante",
        "parts in Ollama's chat",
        "/api/chat",
        {
            "model": M,
            "stream": True,
            "keep_alive": "5m",
            "options": {"temperature": 0.75, "num_ctx": 20480},
            "messages": [
                {"role": "developer", "content": "Be short."},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            ],
        },
        local.ollama_chat,
    ),
    Replay(
        "avante", "OpenAI", CHAT, stream(**USAGE, max_completion_tokens=20480, temperature=0.75), rules.avante_openai
    ),
    Replay("avante", "is it there", "/api/tags", None, local.tags),
]
