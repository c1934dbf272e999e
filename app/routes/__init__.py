"""One router per noun. `ROUTERS` is the order in which they are asked."""
