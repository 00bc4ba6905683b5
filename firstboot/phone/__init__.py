"""The phone: the same questions as pages on the node's own network, opened with the PIN that the TV shows."""
