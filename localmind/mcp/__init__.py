"""What agents may do here over the Model Context Protocol: look, and nothing else.

Four read-only tools over the native API, the same for a program that starts `localmind mcp` (stdio) and for one
that connects to the daemon's /mcp. What they return are passages of the user's files: data, never instructions.
"""
