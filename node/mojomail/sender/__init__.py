"""mojomail-sender: looks at From and Sender of mail that is handed in, and lets own addresses through alone.

Postfix compares the envelope's sender with the login; what a reader sees is the header, and that Postfix leaves to a
milter. It hands the header to this one at /run/mojomail/sender, and never the body.

    authors.py      whom a header like From names
    rule.py         whether this login may
    milter.py       the session with Postfix
    service.py      the program

It is a process of its own with hardly a right, since it reads what anybody wrote; so it imports little.
"""
