"""The three tools that stand for many: find one, have it described, run it."""

from __future__ import annotations

from onex.agents.tool_name import DESCRIBE_TOOL, FIND_TOOLS, RUN_TOOL
from onex.domain.json_value import JsonObject

DEFAULT_FOUND, MAXIMUM_FOUND = 5, 20
_NAME: JsonObject = {"type": "string", "description": "The name that find_tools gave."}

FINDING_TOOLS: tuple[JsonObject, ...] = (
    {
        "name": FIND_TOOLS,
        "title": "Find tools",
        "description": "Find tools of this registry by words. Returns names with a line on each;"
        f" {DESCRIBE_TOOL} gives the inputs of one, and {RUN_TOOL} runs it.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 400,
                    "description": "Words for what the tool should do.",
                },
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAXIMUM_FOUND,
                    "default": DEFAULT_FOUND,
                    "description": "How many tools at most.",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "tools": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "title": {"type": "string"},
                            "description": {"type": "string"},
                        },
                        "required": ["name", "title", "description"],
                    },
                }
            },
            "required": ["tools"],
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
    {
        "name": DESCRIBE_TOOL,
        "title": "Describe a tool",
        "description": "Describe one tool whole: its inputs and outputs as JSON Schema, what it may"
        " do, and its version. It is listed from then on.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": _NAME},
            "required": ["name"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    },
    {
        "name": RUN_TOOL,
        "title": "Run a tool",
        "description": "Run one tool of this registry with arguments that fit its inputs.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": _NAME,
                "arguments": {"type": "object", "description": "Its inputs by name."},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
        # It runs whatever tool is named, so that nothing can be promised of it.
        "annotations": {"readOnlyHint": False, "destructiveHint": True, "openWorldHint": True},
    },
)
