"""The lab's far providers are those that the node's own table of providers describes."""

from __future__ import annotations

import pytest
from mojomail.providers import providers

from tests.lab.providers import PROVIDERS

USES = {"Sent": "sent", "Drafts": "drafts", "Trash": "trash", "Junk": "junk", "Archive": "archive", "All": "archive"}
"""What the node calls the use of a folder (RFC 6154); what Gmail archives is in All Mail."""


@pytest.mark.parametrize("name", ["gmail", "yahoo", "outlook"])
def test_provider_of_the_lab_is_as_the_node_knows_it(name: str) -> None:
    far, known = PROVIDERS[name], providers()[name]
    assert {USES[folder.use]: folder.name for folder in far.folders if folder.use in USES} == known.folders
    assert (far.sent_folder is not None) is known.files_sent
    assert far.by_token_only is (list(known.secrets) == ["oauth2"])
    for service, server in (("imap", known.imap), ("smtp", known.smtp)):
        assert server is not None
        assert far.names[server.host] == far.addresses[service]
        ways = {(port.number, "tls" if port.wrapped else "starttls") for port in far.ports if port.service == service}
        assert (server.port, server.tls) in ways
    assert set(far.domains) - set(known.domains) == set()
    assert known.largest <= far.size_limit
