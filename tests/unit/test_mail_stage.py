"""The mail stage's configuration: what its files promise to each other, read without running them."""

from __future__ import annotations

import configparser
import re
import sqlite3
from pathlib import Path

import pytest
from mojomail.outbox import Why

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAY = REPOSITORY / "overlay"
POSTFIX = OVERLAY / "etc/postfix"
SCHEMA = REPOSITORY / "node/mojomail/schema"
PLUGIN = OVERLAY / "usr/share/roundcube/plugins/mojomail_status"
SERVICES = ("postfix", "dovecot", "nginx", "php8.4-fpm")


def logical_lines(path: Path) -> list[str]:
    """Lines of a Postfix file without comments; one that begins with white space goes on the one before."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            lines[-1] += " " + line.strip()
        else:
            lines.append(line.rstrip())
    return lines


def parameters() -> dict[str, str]:
    pairs = (line.split("=", 1) for line in logical_lines(POSTFIX / "main.cf"))
    return {name.strip(): value.strip() for name, value in pairs}


def services() -> dict[str, list[str]]:
    """master.cf: the fields of each service by its name and type."""
    fields = (line.split() for line in logical_lines(POSTFIX / "master.cf"))
    return {f"{one[0]}/{one[1]}": one for one in fields}


def test_no_port_takes_mail_from_strangers() -> None:
    listening = {name for name in services() if name.endswith("/inet")}
    assert listening == {"submission/inet", "submissions/inet", "127.0.0.1:10587/inet"}
    assert parameters()["smtpd_relay_restrictions"] == "permit_sasl_authenticated, reject"


def test_a_password_is_taken_without_tls_on_the_loopback_port_alone() -> None:
    assert parameters()["smtpd_tls_auth_only"] == "yes"
    assert parameters()["smtpd_tls_security_level"] == "encrypt"
    relaxed = {name for name, fields in services().items() if "smtpd_tls_auth_only=no" in " ".join(fields)}
    assert relaxed == {"127.0.0.1:10587/inet"}


def test_nothing_to_a_provider_is_tried_unless_it_is_told() -> None:
    deferred = set(parameters()["defer_transports"].split())
    clients = {name.removesuffix("/unix") for name, fields in services().items() if fields[7] in ("smtp", "lmtp")}
    assert clients - deferred == {"lmtp"}, "only mailboxes of this node are reached at once"


def test_mail_of_a_sender_who_is_gone_waits_and_does_not_bounce() -> None:
    service, _, reason = parameters()["default_transport"].partition(":")
    assert (services()[f"{service}/unix"][7], service, reason[:2]) == ("error", "retry", "4.")


def test_each_way_the_database_names_is_a_service() -> None:
    named = set(re.findall(r"'(\w+)(?::unix:[^']+)?'(?=,| \|\||\))", view("postfix_transport"))) - {
        "tls",
        "starttls",
        "oauth2",
    }
    assert named == {"smtp", "relay465", "oauth"}
    assert {f"{name}/unix" for name in named} <= set(services())


def test_who_hands_in_mail_is_looked_at_at_every_door_and_nothing_passes_unseen() -> None:
    socket = configparser.RawConfigParser()
    socket.read_string((OVERLAY / "usr/lib/systemd/system/mojomail-sender.socket").read_text(encoding="utf-8"))
    asked = f"smtpd_milters=unix:{socket['Socket']['ListenStream']}"
    for name, fields in services().items():
        options = {fields[place + 1] for place, word in enumerate(fields) if word == "-o"}
        looks = {asked, "milter_default_action=tempfail"} & options
        assert len(looks) == (2 if name.endswith("/inet") else 0), name
    assert (socket["Socket"]["SocketUser"], socket["Socket"]["SocketMode"]) == ("postfix", "0600")
    assert "message_strip_characters=\\0" in services()["cleanup/unix"], "what is behind a zero byte no milter sees"
    assert not {name for name in parameters() if "milter" in name}, "notices of the node itself are not looked at"


@pytest.mark.parametrize("service", ["mojomail-relay", "mojomail-sender"])
def test_programs_that_read_what_strangers_wrote_may_do_hardly_anything(service: str) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((OVERLAY / f"usr/lib/systemd/system/{service}.service").read_text(encoding="utf-8"))
    sandbox = dict(unit["Service"])
    assert (sandbox["User"], sandbox["CapabilityBoundingSet"], sandbox["ProtectSystem"]) == (service, "", "strict")
    assert sandbox["NoNewPrivileges"] == sandbox["MemoryDenyWriteExecute"] == sandbox["PrivateDevices"] == "yes"
    assert {"-/srv/mail", "-/var/spool/postfix", "-/etc/ssl/mojomail"} <= set(sandbox["InaccessiblePaths"].split())
    assert "ReadWritePaths" not in sandbox
    users = (OVERLAY / f"usr/lib/sysusers.d/{service}.conf").read_text(encoding="utf-8")
    reads_the_database = f"m {service} mojomail\n" in users
    assert reads_the_database == (sandbox.get("PrivateNetwork") == "yes") == (service == "mojomail-sender")
    assert reads_the_database != ("-/var/lib/mojomail" in sandbox["InaccessiblePaths"].split())


def view(name: str) -> str:
    text = (SCHEMA / "mojomail-1.sql").read_text(encoding="utf-8")
    found = re.search(rf"CREATE VIEW {name} .*?;", text, re.DOTALL)
    assert found, f"no view {name}"
    return found.group()


def test_nothing_is_chrooted() -> None:
    assert all(fields[4] == "n" for fields in services().values())


def test_mail_waits_longer_than_a_month_without_a_link() -> None:
    assert int(parameters()["maximal_queue_lifetime"].removesuffix("d")) > 30
    assert parameters().get("soft_bounce", "no") == "no"


def test_each_lookup_goes_through_one_reader_and_has_its_file() -> None:
    used = set(re.findall(r"\$sql/([a-z-]+)\.cf", (POSTFIX / "main.cf").read_text(encoding="utf-8")))
    allowed = set(re.findall(r"\$sql/([a-z-]+)\.cf", parameters()["proxy_read_maps"]))
    assert used == allowed == {path.stem for path in (POSTFIX / "sql").glob("*.cf")}


@pytest.fixture(scope="module")
def databases() -> dict[str, sqlite3.Connection]:
    """Empty databases with the node's tables and views, by file."""
    made = {}
    for name in ("mojomail", "logins"):
        made[name] = sqlite3.connect(":memory:")
        made[name].executescript((SCHEMA / f"{name}-1.sql").read_text(encoding="utf-8"))
    return made


@pytest.mark.parametrize("path", sorted((POSTFIX / "sql").glob("*.cf")), ids=lambda path: path.stem)
def test_postfix_asks_what_the_database_can_answer(path: Path, databases: dict[str, sqlite3.Connection]) -> None:
    settings = dict(line.split(" = ", 1) for line in logical_lines(path))
    assert settings["dbpath"] == "/var/lib/mojomail/mojomail.db"
    assert databases["mojomail"].execute(settings["query"].replace("%s", "o''brien@example.com")).fetchall() == []


def test_dovecot_asks_what_the_database_can_answer(databases: dict[str, sqlite3.Connection]) -> None:
    text = (OVERLAY / "etc/dovecot/dovecot.conf").read_text(encoding="utf-8")
    asked = re.findall(r"sqlite_path = /var/lib/mojomail/(\w+)\.db|^  (?:iterate_)?query = (.+)$", text, re.MULTILINE)
    name, count = "", 0
    for file, query in asked:
        name = file or name
        if query:
            databases[name].execute(query.replace("%{user | lower}", "asha")).fetchall()
            count += 1
    assert count == 3


def test_the_webmail_asks_what_the_database_can_answer(databases: dict[str, sqlite3.Connection]) -> None:
    queries = re.findall(r"'(SELECT [^']+)'", (PLUGIN / "lib/people.php").read_text(encoding="utf-8"))
    assert len(queries) == 3
    for query in queries:
        databases["mojomail"].execute(query, ("asha",)).fetchall()


def test_all_programs_know_the_same_limit_of_a_mail() -> None:
    limit = int(parameters()["message_size_limit"])
    mebibytes = limit // 1024**2
    assert limit == mebibytes * 1024**2
    assert f"the limit is {mebibytes} MB" in (POSTFIX / "reject_footers").read_text(encoding="utf-8")
    assert f"'max_message_size'] = '{mebibytes}M'" in (OVERLAY / "etc/roundcube/config.inc.php").read_text("utf-8")
    pool = (OVERLAY / "etc/php/8.4/fpm/pool.d/webmail.conf").read_text(encoding="utf-8")
    assert f"[upload_max_filesize] = {mebibytes}M" in pool
    web = (OVERLAY / "etc/nginx/nginx.conf").read_text(encoding="utf-8")
    assert int(re.findall(r"client_max_body_size (\d+)m", web)[0]) > mebibytes


@pytest.mark.parametrize("service", SERVICES)
def test_no_server_sees_the_authority_key_nor_writes_outside_its_places(service: str) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((OVERLAY / f"etc/systemd/system/{service}.service.d/mojomail.conf").read_text(encoding="utf-8"))
    sandbox = dict(unit["Service"])
    assert "/etc/ssl/mojomail/ca.pem" in sandbox["InaccessiblePaths"]
    assert sandbox["ProtectSystem"] == "strict"
    assert sandbox["NoNewPrivileges"] == "yes"
    assert sandbox["MemoryDenyWriteExecute"] == "yes"
    assert "/var/lib/mojomail" not in sandbox["ReadWritePaths"].split()
    assert ("/srv/mail" in sandbox["ReadWritePaths"]) == (service == "dovecot")


def test_the_web_server_can_see_that_the_node_is_being_set_up() -> None:
    (flag,) = re.findall(r"-f (/run/\S+)\)", (OVERLAY / "etc/nginx/mojomail-open.conf").read_text(encoding="utf-8"))
    unit = (OVERLAY / "etc/systemd/system/nginx.service.d/mojomail.conf").read_text(encoding="utf-8")
    (hidden,) = re.findall(r"^InaccessiblePaths=(.*)$", unit, re.MULTILINE)
    assert not any(Path(flag).is_relative_to(word.lstrip("-")) for word in hidden.split())
    assert f'Path("{flag[1:]}")' in (REPOSITORY / "firstboot/setupnetwork.py").read_text(encoding="utf-8")


def texts(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^\$labels\['(\w+)'\] = '(.+)';$", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("language", ["hi_IN", "kn_IN"])
def test_the_webmail_says_the_same_in_each_language(language: str) -> None:
    english, other = texts(PLUGIN / "localization/en_US.inc"), texts(PLUGIN / f"localization/{language}.inc")
    assert english.keys() == other.keys()
    for name, text in english.items():
        assert re.findall(r"\$\w+", text) == re.findall(r"\$\w+", other[name]), name


def test_each_text_the_webmail_uses_is_there() -> None:
    code = (PLUGIN / "mojomail_status.php").read_text(encoding="utf-8")
    states = re.findall(r"'(\w+)'", re.findall(r"UNSENT = \[(.+)\]", code)[0])
    used = set(re.findall(r"(?:gettext|text)\('(\w+)'", code))
    used |= {f"{kind}_{state}" for kind in ("mark", "is") for state in states}
    used |= {"one_waits", "many_wait", "is_unknown"}
    assert used == texts(PLUGIN / "localization/en_US.inc").keys()


def test_mail_of_which_nothing_is_known_is_not_said_to_wait() -> None:
    asks, shows = ((PLUGIN / name).read_text(encoding="utf-8") for name in ("lib/daemon.php", "mojomail_status.php"))
    assert f"UNKNOWN = '{Why.UNKNOWN.value}'" in shows
    assert "'why'   => (string) ($mail['why'] ?? '')" in asks
    assert "$mail['why'] === self::UNKNOWN" in shows
    for language in ("en_US", "hi_IN", "kn_IN"):
        said = texts(PLUGIN / f"localization/{language}.inc")
        assert said["is_unknown"] != said["is_waiting"] and "mark_unknown" not in said


def test_mail_that_leaves_names_neither_phone_nor_program() -> None:
    rules = [line.split("\t")[0] for line in logical_lines(POSTFIX / "outgoing_headers")]
    patterns = [rule.strip("/").replace("[:space:]", r"\s") for rule in rules]

    def removed(header: str) -> bool:
        return any(re.search(pattern, header, re.IGNORECASE | re.DOTALL) for pattern in patterns)

    ours = "Received: from phone (unknown [192.168.50.7])\n\tby kalghatgi.home.arpa (Postfix) with ESMTPSA id 1; Sun"
    assert removed(ours)
    assert removed("User-Agent: K-9 Mail for Android")
    assert not removed("Received: from a.example (a.example [203.0.113.9])\n\tby mx.example.com with ESMTPS id 2; Sun")
    assert not removed("Subject: received by kalghatgi.home.arpa today")


@pytest.mark.parametrize(
    ("reply", "held"),
    [
        ("5.4.5 Daily user sending limit exceeded.", True),
        ("5.7.0 Authentication Required. For more information, go to", True),
        ("5.7.139 Authentication unsuccessful, basic authentication is disabled.", True),
        ("5.1.1 The email account that you tried to reach does not exist", False),
        ("5.7.1 message refused as spam", False),
    ],
)
def test_a_provider_that_wants_another_password_or_day_holds_the_mail(reply: str, held: bool) -> None:
    rules = [line.split("\t") for line in logical_lines(POSTFIX / "held_replies")]
    results = [re.sub(pattern.strip("/"), right.replace("$1", r"\1"), reply) for pattern, right in rules]
    assert any(result == f"4{reply[1:]}" for result in results) == held


def test_no_certificate_or_key_of_the_build_machine_leaves_in_the_image() -> None:
    clean = (REPOSITORY / "stages/mail/99-clean/00-run-chroot.sh").read_text(encoding="utf-8")
    for path in ("ssl-cert-snakeoil.key", "/etc/dovecot/private", "/etc/ssl/mojomail", "/etc/roundcube/des_key"):
        assert path in clean
