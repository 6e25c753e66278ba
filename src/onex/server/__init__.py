"""A registry that is served: the index protocol, the interface for programs, and who may use it."""
