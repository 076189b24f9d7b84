"""Messages and tools as chat completions have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sipcore.plugins import Message, Tool, ToolCall


def as_messages(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
    """Return ``messages`` as the request has them."""
    return [_message(message) for message in messages]


def as_tools(tools: Sequence[Tool]) -> Mapping[str, Any]:
    """Return the request's field for ``tools``: none at all without one, since an empty list is refused."""
    described = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    ]
    return {"tools": described} if described else {}


def _message(message: Message) -> Mapping[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if message.tool_calls:
        calls = [_tool_call(call) for call in message.tool_calls]
        return {"role": message.role, "content": message.content or None, "tool_calls": calls}
    return {"role": message.role, "content": message.content}


def _tool_call(call: ToolCall) -> Mapping[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}
