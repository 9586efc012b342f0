"""slowhttptest against a node with default options: connections that are slow on purpose."""
