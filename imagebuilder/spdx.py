"""The bill of materials: every package of an image as an SPDX 2.3 document.

Source of the field names and their forms: https://spdx.github.io/spdx-spec/v2.3/ (sections 6 to 11).
The document is put together as plain JSON, since what it holds is a list; spdx-tools, the reference
library, checks it in the tests.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from .debcopyright import paragraphs, read_copyright
from .errors import InputError

NAMESPACE = "https://spdx.org/spdxdocs"
CREATOR = "Tool: mojomail-imagebuilder"
TEAM = re.compile(r"\b(team|group|maintainers|developers|task force|packagers)\b|@(lists|tracker|packages)\.", re.I)


@dataclass(frozen=True, order=True)
class Package:
    """One installed package as dpkg's status has it; `installed_size` in KiB."""

    name: str
    architecture: str
    version: str
    source: str
    source_version: str
    maintainer: str = ""
    homepage: str = ""
    summary: str = ""
    installed_size: int = 0

    @property
    def purl(self) -> str:
        """The package URL (https://github.com/package-url/purl-spec, type deb)."""
        return f"pkg:deb/debian/{quote(self.name, safe='')}@{quote(self.version, safe='')}?arch={self.architecture}"

    @property
    def supplier(self) -> str:
        """Who made the binary package: the archive it is from, told by the mark in its version."""
        return "Organization: Raspberry Pi" if re.search(r"[+~]rp[it]", self.version) else "Organization: Debian"

    @property
    def originator(self) -> str | None:
        match = re.fullmatch(r"\s*\"?(.*?)\"?\s*<(.*)>\s*", self.maintainer)
        if not match:
            return None
        kind = "Organization" if TEAM.search(self.maintainer) else "Person"
        return f"{kind}: {match[1].replace('(', '[').replace(')', ']')} ({match[2]})"


def parse_status(path: Path) -> list[Package]:
    """The installed packages of dpkg's status file (/var/lib/dpkg/status), sorted by name.

    Raises InputError when the file cannot be read or is not dpkg's.
    """
    try:
        found = paragraphs(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except InputError as error:
        raise InputError(f"{path}: {error.message}") from error
    packages = []
    for entry in found:
        missing = [name for name in ("package", "status") if not entry.get(name)]
        if missing:
            raise InputError(f"{path}: a paragraph has no {missing[0].capitalize()} field")
        if not entry["status"].endswith(" installed"):
            continue
        if not entry.get("version"):
            raise InputError(f"{path}: {entry['package']} is installed but has no version")
        source = re.fullmatch(r"(\S+)(?:\s+\((.*)\))?", entry.get("source", "")) or re.match("()()", "")
        assert source is not None
        packages.append(
            Package(
                name=entry["package"],
                architecture=entry.get("architecture", "all"),
                version=entry["version"],
                source=source[1] or entry["package"],
                source_version=source[2] or entry["version"],
                maintainer=entry.get("maintainer", ""),
                homepage=entry.get("homepage", ""),
                summary=entry.get("description", "").partition("\n")[0],
                installed_size=int(size) if (size := entry.get("installed-size", "")).isdecimal() else 0,
            )
        )
    return sorted(packages)


def document(
    name: str,
    status: Path,
    *,
    copyright: Callable[[Package], str | None],
    epoch: int,
    version: str = "",
    image_sha256: str | None = None,
    checksums: Mapping[str, str] | None = None,
) -> str:
    """The SPDX document of an image as JSON text; the same for the same inputs.

    name          of the image, such as `mojomail-village`
    status        dpkg's status file of the image
    copyright     gives the text of a package's copyright file; None when it has none
    epoch         when it was made, seconds since 1970
    image_sha256  of the raw image
    checksums     SHA-256 of the .deb files, by `name_version_architecture`
    """
    packages = parse_status(status)
    image: dict[str, object] = {
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    }
    if version:
        image["versionInfo"] = version
    if image_sha256:
        image["checksums"] = [{"algorithm": "SHA256", "checksumValue": image_sha256}]
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    entries = [image]
    for package in packages:
        licences = read_copyright(text) if (text := copyright(package)) is not None else None
        entry = _entry(package, licences.expression if licences else None, text is not None)
        checksum = (checksums or {}).get(f"{package.name}_{package.version}_{package.architecture}")
        if checksum:
            entry["checksums"] = [{"algorithm": "SHA256", "checksumValue": checksum}]
        if licences:
            texts |= licences.texts
            names |= licences.names
        entries.append(entry)
    body = {
        "packages": entries,
        "hasExtractedLicensingInfos": [
            {"licenseId": reference, "name": names[reference], "extractedText": texts[reference]}
            for reference in sorted(texts)
        ],
        "relationships": [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
        + [_relation("SPDXRef-Image", "CONTAINS", str(entry["SPDXID"])) for entry in entries[1:]],
    }
    digest = hashlib.sha256(json.dumps([name, epoch, body], sort_keys=True).encode()).hexdigest()
    head = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"{NAMESPACE}/{quote(name)}-{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "creationInfo": {
            "created": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": [CREATOR],
        },
    }
    return json.dumps(head | body, indent=1, ensure_ascii=False) + "\n"


def copyright_from(folders: Sequence[Path]) -> Callable[[Package], str | None]:
    """Reads copyright files laid out as /usr/share/doc/PACKAGE/copyright below any of the folders."""

    def find(package: Package) -> str | None:
        for folder in folders:
            path = folder / package.name / "copyright"
            if path.is_file():
                return path.read_text(encoding="utf-8", errors="replace")
        return None

    return find


def _entry(package: Package, expression: str | None, has_file: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "SPDXID": _identifier(package),
        "name": package.name,
        "versionInfo": package.version,
        "supplier": package.supplier,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "sourceInfo": f"built from source package {package.source} {package.source_version}",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": expression or "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": package.purl}
        ],
    }
    if package.originator:
        entry["originator"] = package.originator
    if re.fullmatch(r"(https?|ftp|git)://[!-~]+", package.homepage):
        entry["homepage"] = package.homepage
    if package.summary:
        entry["summary"] = package.summary
    if expression is None:
        why = "is not machine-readable" if has_file else "was not found"
        entry["licenseComments"] = f"/usr/share/doc/{package.name}/copyright {why}"
    return entry


def _identifier(package: Package) -> str:
    """A unique SPDXID; of letters, digits, "." and "-" only, which package names go beyond with "+"."""
    raw = f"{package.name}-{package.architecture}"
    clean = re.sub(r"[^A-Za-z0-9.-]", "-", raw)
    suffix = "" if clean == raw else f"-{hashlib.sha256(raw.encode()).hexdigest()[:6]}"
    return f"SPDXRef-Package-{clean}{suffix}"


def _relation(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}
