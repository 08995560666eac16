"""One turn of the assistant: retrieve, prompt, generate, cite."""
