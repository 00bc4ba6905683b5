"""mojomail-relay: hands mail on to the providers that are logged in to by token (XOAUTH2), which Postfix cannot do.

Postfix's lmtp client speaks LMTP (RFC 2033) to it at /run/mojomail/relay. Each command is passed on while Postfix
waits, the message as it comes; so nothing is kept here, and Postfix alone answers for a mail until its provider has.

    replies.py      what one side says and the other is told
    tokens.py       asks the vault where a sender's mail goes and as whom
    submission.py   the session with the provider
    session.py      the session with Postfix
    service.py      the program

It is a process of its own without any right, since it reads what strangers wrote; so it imports little.
"""
