"""Nodes and workflows as tools of agents, by the Model Context Protocol (MCP).

Everything here is a shell over ``Registry``: it says what is offered, asks the user, and calls.
"""
