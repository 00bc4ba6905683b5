"""The village's mail office: people, accounts, vault, sync and outbox of a MojoMail node."""

__version__ = "1.0"
