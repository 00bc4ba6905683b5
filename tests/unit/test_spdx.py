"""The bill of materials: every installed package, its licences as far as they are stated, valid SPDX 2.3."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuilder import debcopyright, spdx
from imagebuilder.debcopyright import NO_TEXT, paragraphs, read_copyright
from imagebuilder.errors import InputError
from imagebuilder.spdx import Package, document, parse_status

STATUS = """\
Package: zlib1g
Status: install ok installed
Installed-Size: 168
Maintainer: Mark Brown <broonie@debian.org>
Architecture: arm64
Multi-Arch: same
Source: zlib (1:1.3.dfsg+really1.3.1-1)
Version: 1:1.3.dfsg+really1.3.1-1+b1
Description: compression library - runtime
 zlib is a library.
 .
 It is small.
Homepage: http://zlib.net/

Package: g++
Status: hold ok installed
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Architecture: arm64
Source: gcc-defaults
Version: 4:14.2.0-1
Description: GNU C++ compiler

Package: gone
Status: deinstall ok config-files
Maintainer: Nobody <nobody@example.org>
Architecture: all
Version: 1

Package: raspi-config
Status: install ok installed
Maintainer: Serge <serge@raspberrypi.com>
Architecture: all
Version: 20250813+rpt1
"""

ZLIB = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: zlib

Files: *
Copyright: 1995-2024 Jean-loup Gailly and Mark Adler
License: Zlib

Files: debian/*
Copyright: 2000-2024 Mark Brown
License: GPL-2+ or MIT

License: Zlib
 This software is provided 'as-is'.

License: GPL-2+
 On Debian systems see common-licenses.

License: MIT
 Permission is hereby granted.
 .
 The end.
"""


@pytest.fixture
def status(tmp_path: Path) -> Path:
    path = tmp_path / "status"
    path.write_text(STATUS)
    return path


def make(status: Path, **more: Any) -> dict[str, Any]:
    texts = {"zlib1g": ZLIB, "g++": "In free text: GPL."}
    text = document("mojomail-village", status, copyright=lambda p: texts.get(p.name), epoch=1_700_000_000, **more)
    found: dict[str, Any] = json.loads(text)
    return found


def by_name(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in made["packages"] if entry["name"] == name)
    return found


def check_structure(made: dict[str, Any]) -> None:
    """The fields that SPDX 2.3 requires, their forms, and that every id used is defined once."""
    assert made["spdxVersion"] == "SPDX-2.3"
    assert made["dataLicense"] == "CC0-1.0"
    assert made["SPDXID"] == "SPDXRef-DOCUMENT"
    assert made["name"]
    assert re.fullmatch(r"https://[^#\s]+", made["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["creationInfo"]["created"])
    assert all(re.match(r"(Tool|Person|Organization): ", text) for text in made["creationInfo"]["creators"])
    ids = [entry["SPDXID"] for entry in made["packages"]]
    assert len(set(ids)) == len(ids)
    references = {entry["licenseId"] for entry in made["hasExtractedLicensingInfos"]}
    for entry in made["packages"]:
        assert re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", entry["SPDXID"])
        assert entry["name"]
        assert entry["downloadLocation"]
        for field in ("supplier", "originator"):
            assert re.match(r"(Person|Organization): .", entry.get(field, "Person: x"))
        used = set(re.findall(r"LicenseRef-[A-Za-z0-9.-]+", entry["licenseDeclared"]))
        assert used <= references
        references_left = re.sub(
            r"LicenseRef-[A-Za-z0-9.-]+|AND|OR|[()\s]|[A-Za-z0-9.-]+", "", entry["licenseDeclared"]
        )
        assert references_left == ""
    assert all(entry["extractedText"] for entry in made["hasExtractedLicensingInfos"])
    known = {*ids, "SPDXRef-DOCUMENT"}
    relations = made["relationships"]
    assert all({r["spdxElementId"], r["relatedSpdxElement"]} <= known for r in relations)
    assert [r["relatedSpdxElement"] for r in relations if r["relationshipType"] == "DESCRIBES"] == ["SPDXRef-Image"]
    assert {r["relatedSpdxElement"] for r in relations if r["relationshipType"] == "CONTAINS"} == set(ids[1:])


def test_the_document_has_the_form_of_spdx_2_3(status: Path) -> None:
    check_structure(make(status, image_sha256="a" * 64))


def test_the_reference_library_finds_no_fault(status: Path, tmp_path: Path) -> None:
    parser = pytest.importorskip("spdx_tools.spdx.parser.parse_anything")
    validator = pytest.importorskip("spdx_tools.spdx.validation.document_validator")
    path = tmp_path / "made.spdx.json"
    path.write_text(json.dumps(make(status, image_sha256="a" * 64)))
    messages = validator.validate_full_spdx_document(parser.parse_file(str(path)))
    assert [message.validation_message for message in messages] == []


def test_installed_packages_are_listed_and_removed_ones_are_not(status: Path) -> None:
    assert [(p.name, p.version) for p in parse_status(status)] == [
        ("g++", "4:14.2.0-1"),
        ("raspi-config", "20250813+rpt1"),
        ("zlib1g", "1:1.3.dfsg+really1.3.1-1+b1"),
    ]


def test_a_package_carries_what_is_known_of_it(status: Path) -> None:
    made = make(status, checksums={"zlib1g_1:1.3.dfsg+really1.3.1-1+b1_arm64": "b" * 64})
    zlib = by_name(made, "zlib1g")
    assert zlib["versionInfo"] == "1:1.3.dfsg+really1.3.1-1+b1"
    assert zlib["sourceInfo"] == "built from source package zlib 1:1.3.dfsg+really1.3.1-1"
    assert zlib["originator"] == "Person: Mark Brown (broonie@debian.org)"
    assert zlib["supplier"] == "Organization: Debian"
    assert zlib["homepage"] == "http://zlib.net/"
    assert zlib["summary"] == "compression library - runtime"
    assert zlib["checksums"] == [{"algorithm": "SHA256", "checksumValue": "b" * 64}]
    assert zlib["externalRefs"][0]["referenceLocator"] == (
        "pkg:deb/debian/zlib1g@1%3A1.3.dfsg%2Breally1.3.1-1%2Bb1?arch=arm64"
    )
    assert by_name(made, "g++")["originator"].startswith("Organization: Debian GCC Maintainers")
    assert by_name(made, "raspi-config")["supplier"] == "Organization: Raspberry Pi"
    assert parse_status(status)[2].installed_size == 168


def test_licences_are_declared_where_the_copyright_file_can_be_read_and_else_it_is_said_why(status: Path) -> None:
    made = make(status)
    assert re.fullmatch(
        r"\(GPL-2.0-or-later OR LicenseRef-Debian-mit-[0-9a-f]{8}\) AND Zlib",
        by_name(made, "zlib1g")["licenseDeclared"],
    )
    assert [entry["extractedText"] for entry in made["hasExtractedLicensingInfos"]] == [
        "Permission is hereby granted.\n\nThe end."
    ]
    free_text, none = by_name(made, "g++"), by_name(made, "raspi-config")
    assert (free_text["licenseDeclared"], none["licenseDeclared"]) == ("NOASSERTION", "NOASSERTION")
    assert free_text["licenseComments"].endswith("is not machine-readable")
    assert none["licenseComments"].endswith("was not found")


def test_the_same_inputs_give_the_same_document_and_others_another_namespace(status: Path) -> None:
    assert make(status) == make(status)
    assert make(status)["documentNamespace"] != make(status, version="2")["documentNamespace"]


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("LGPL-3.0", "LGPL-3.0-only"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("CC0", "CC0-1.0"),
        ("Expat and ISC", "ISC AND MIT"),
        ("GPL-2+ or Expat", "(GPL-2.0-or-later OR MIT)"),
        ("Expat and ISC or Zlib", "((ISC AND MIT) OR Zlib)"),
        ("GPL-2+ or Expat, and Zlib", "(GPL-2.0-or-later OR MIT) AND Zlib"),
        ("Expat or Expat", "MIT"),
        ("MIT", "LicenseRef-Debian-mit-#"),
        ("Artistic", "LicenseRef-Debian-artistic-#"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-Debian-gpl-2plus-with-openssl-exception-#"),
        ("something (odd) | else", "LicenseRef-Debian-something-odd-else-#"),
        ("ÄÖ", "LicenseRef-Debian-unnamed-#"),
    ],
)
def test_debian_short_names_become_spdx_expressions(declared: str, expected: str) -> None:
    text = f"Format: x\n\nFiles: *\nCopyright: me\nLicense: {declared}\n"
    found = read_copyright(text)
    assert found.expression is not None
    assert re.sub(r"-[0-9a-f]{8}\b", "-#", found.expression) == expected
    assert set(found.texts) == set(re.findall(r"LicenseRef-[\w.-]+", found.expression))


def test_the_same_name_with_another_text_is_another_licence() -> None:
    first = read_copyright("Format: x\n\nFiles: *\nLicense: custom\n One text.\n")
    second = read_copyright("Format: x\n\nFiles: *\nLicense: custom\n Another text.\n")
    bare = read_copyright("Format: x\n\nFiles: *\nLicense: custom\n")
    assert len({first.expression, second.expression, bare.expression}) == 3
    assert list(first.texts.values()) == ["One text."]
    assert list(bare.texts.values()) == [NO_TEXT]


@pytest.mark.parametrize(
    "text",
    ["", "GPL, see there.", "Format: x\n\nnot a field\n", "Format: x\nUpstream-Name: y\n", "Format: x\n\n\n orphan\n"],
)
def test_a_copyright_file_that_cannot_be_read_declares_nothing(text: str) -> None:
    assert read_copyright(text).expression is None


@given(st.text())
def test_no_copyright_file_stops_a_build(text: str) -> None:
    for made in (text, f"Format: x\n\nFiles: *\nLicense: {text}"):
        found = read_copyright(made)
        assert not re.search(r"[^A-Za-z0-9.() +-]", found.expression or "")
        assert all(found.texts.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Package: a\nVersion: 1\n", "no Status field"),
        ("Status: install ok installed\n", "no Package field"),
        ("Package: a\nStatus: install ok installed\n", "a is installed but has no version"),
        (" continued\n", "line 1 continues no field"),
        ("Package: a\nrubbish\n", "line 2 is not a field"),
    ],
)
def test_a_broken_status_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "status"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        parse_status(path)
    assert str(path) in str(caught.value)


def test_a_missing_status_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        parse_status(tmp_path / "none")


def test_copyright_files_are_looked_for_in_each_folder(tmp_path: Path) -> None:
    (tmp_path / "b/zlib1g").mkdir(parents=True)
    (tmp_path / "b/zlib1g/copyright").write_bytes(b"text \xff")
    find = spdx.copyright_from([tmp_path / "a", tmp_path / "b"])
    assert find(Package("zlib1g", "arm64", "1", "zlib", "1")) == "text \ufffd"
    assert find(Package("other", "arm64", "1", "other", "1")) is None


def test_paragraphs_keep_continued_lines_and_skip_comments() -> None:
    assert paragraphs("# no\nA: 1\n two\n .\n  three\n\n\nB:\n x\n") == [{"a": "1\ntwo\n\n three"}, {"b": "\nx"}]
    assert debcopyright.paragraphs("") == []
