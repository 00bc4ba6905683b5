"""A table of people: all errors at once by line and column, and everybody or nobody."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mojomail.accounts import accounts
from mojomail.csvimport import COLUMNS, NewPerson, example, read_people, take_people
from mojomail.errors import ProblemsError
from mojomail.people import people
from node_village import CANARY, Village, a_village, village_fixture

village = pytest.fixture(village_fixture)

TABLE = """login,name,language,password,address,provider,secret,imap,smtp
asha,Asha Devi,en,,asha@gmail.com,,abcd efgh ijkl mnop,,
asha,,,,asha@example.org,generic,hunter22,imap.example.org 993 tls,smtp.example.org 465 tls

ravi,"Kumar, Ravi",,water-and-stone,,,,,
"""


def problems(village: Village, text: str | bytes) -> list[tuple[int, int, str]]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ProblemsError) as refused:
        read_people(content, "people.csv", village.database, language="en")
    assert people(village.database) == [] or len(people(village.database)) == 1
    return [(problem.line, problem.column, problem.message) for problem in refused.value.problems]


def read(village: Village, text: str | bytes) -> list[NewPerson]:
    content = text if isinstance(text, bytes) else text.encode()
    return read_people(content, "people.csv", village.database, language="en")


def test_table_makes_people_with_all_their_accounts(village: Village) -> None:
    found = read(village, TABLE)
    take_people(found, village.database, village.vault)
    assert [(one.login, one.name) for one in people(village.database)] == [
        ("asha", "Asha Devi"),
        ("ravi", "Kumar, Ravi"),
    ]
    assert [(one.address, one.folder) for one in accounts(village.database, "asha")] == [
        ("asha@gmail.com", ""),
        ("asha@example.org", "asha@example.org"),
    ]
    secrets = [village.vault.reveal(village.database, one.id)[1] for one in accounts(village.database)]
    assert secrets == ["abcdefghijklmnop", "hunter22"]
    assert [(one.made, len(one.password) > 12) for one in found] == [(True, True), (False, True)]
    assert all(village.places.home(one.uid).is_dir() for one in people(village.database))


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace(",", ";").replace('"Kumar; Ravi"', '"Kumar, Ravi"'),
        "\ufeff" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("login,name", " Login , NAME"),
    ],
)
def test_tables_as_spreadsheets_write_them_are_read(village: Village, content: str) -> None:
    assert [one.name for one in read(village, content)] == ["Asha Devi", "Kumar, Ravi"]


def test_names_are_read_as_indian_keyboards_write_them(village: Village) -> None:
    [one] = read(village, "login,name\nraj,ರಾಜ್\u200cಕುಮಾರ್\n")
    assert one.name == "ರಾಜ್\u200cಕುಮಾರ್"


def test_everything_that_is_wrong_is_told_at_once_by_line_and_column(village: Village) -> None:
    village.person("mira")
    text = """login,name,language,password,address,provider,secret,imap,smtp
Asha Devi,Asha,,,,,,,
mira,Mira,,,,,,,
ravi,Ravi,xx,short,ravi@gmail,,,,
tara,,,,tara@gmail.com,gmial,,,
usha,Usha,,,tara@example.org,,,imap.example.org,
veda,Veda,,,Ravi@Gmail.com,,,,
wasi,Wasi,,,ravi@gmail.com,,,,
wasi,Other,,,,,pw,,,extra
"""
    found = problems(village, text)
    assert [(line, column) for line, column, _ in found] == [
        (2, 1),
        (3, 1),
        (4, 3),
        (4, 4),
        (4, 5),
        (5, 2),
        (5, 6),
        (6, 8),
        (8, 5),
        (9, 2),
        (9, 7),
        (9, 10),
    ]
    assert "line 7" in {(line, column): said for line, column, said in found}[(8, 5)]


def test_file_line_and_column_are_in_the_text(village: Village) -> None:
    with pytest.raises(ProblemsError) as refused:
        read_people(b"login,name\nA B,x\n", "people.csv", village.database, language="en")
    assert str(refused.value).startswith("people.csv:2:1: login: 'A B' cannot be a login")
    assert "did you mean a.b?" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        (b"", (1, 0), "must name the columns"),
        (b"login\nasha\n", (1, 0), "name"),
        (b"login,name,pasword\n", (1, 3), "no column"),
        (b"login,name,login\n", (1, 3), "already"),
        (b"login,name\n", (0, 0), "nobody"),
        (b"login,name\nasha,\xff\n", (2, 0), "UTF-8"),
        (b'login,name\nasha,"x\n', (2, 0), "no CSV"),
        (b"x" * (5 * 2**20), (0, 0), "larger"),
    ],
)
def test_what_is_no_table_is_told(village: Village, content: bytes, place: tuple[int, int], said: str) -> None:
    [(line, column, message)] = problems(village, content)
    assert (line, column) == place
    assert said in message


def test_line_numbers_count_lines_of_the_file(village: Village) -> None:
    text = 'login,name\n"asha","Asha\nDevi"\n\n\nB C,x\n'
    assert [(line, column) for line, column, _ in problems(village, text)] == [(6, 1)]


def test_no_error_shows_a_password_or_secret(village: Village) -> None:
    text = f"login,name,password,address,secret\nasha,Asha,asha{CANARY[:4]},asha@nowhere.example,{CANARY}\n"
    for _, _, message in problems(village, text):
        assert CANARY not in message
        assert CANARY[:4] not in message


def test_nobody_is_added_when_the_last_one_cannot_be(village: Village) -> None:
    found = read(village, TABLE)
    village.person("ravi")  # somebody was faster
    with pytest.raises(Exception, match="already"):
        take_people(found, village.database, village.vault)
    assert [one.login for one in people(village.database)] == ["ravi"]
    assert accounts(village.database) == []
    assert village.database.rows("SELECT * FROM secret") == []


def test_table_to_begin_with_is_right(village: Village) -> None:
    assert [one.login for one in read(village, example())] == ["asha"]


CELLS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["asha", "ravi", "asha@gmail.com", "gmail", "imap.x.org 993 tls", "en"]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=1, max_size=len(COLUMNS) + 1), max_size=5))
def test_any_table_is_taken_whole_or_refused_with_places(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([list(COLUMNS), *rows])
    with a_village() as village:
        try:
            found = read(village, text.getvalue())
        except ProblemsError as error:
            lines = text.getvalue().count("\n") + text.getvalue().count("\r") + 1
            assert all(0 <= problem.line <= lines and problem.message for problem in error.problems)
            return
        take_people(found, village.database, village.vault)
        assert {one.login for one in people(village.database)} == {one.login for one in found}


def test_any_bytes_are_a_table_or_refused(village: Village) -> None:
    @settings(deadline=None)
    @given(st.binary(max_size=120))
    def refused(content: bytes) -> None:
        with pytest.raises(ProblemsError):
            read(village, content)

    refused()
