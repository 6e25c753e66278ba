"""The code of the node {NODE_NAME}."""


def execute(context, *, who: str = "world") -> dict:
    """Greet someone."""
    context.get_logger().info("greeting %s", who)
    return {"greeting": f"Hello, {who}!"}
