"""Receiving: engines that fetch each person's mail, the guard around them, and who has the next turn."""
