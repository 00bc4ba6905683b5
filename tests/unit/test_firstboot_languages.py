"""One more language is one more file of texts: wizard, settings and the mail office's commands go on with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mojomail import catalogue, cli, shipped

from firstboot import texts as texts_module
from firstboot.actions import actions
from firstboot.imagersettings import read_imager
from firstboot.later import Later
from firstboot.office import spoken
from firstboot.phone.pages import screen_page
from firstboot.preset import read_preset
from firstboot.process import Done
from firstboot.screens import Screen
from firstboot.settings import settings_from
from firstboot.status import Status, facts
from firstboot.texts import languages, texts
from tests.unit.firstboot_machine import VILLAGE, MadeUp, Programs, site_at, walk, wizard_at

CODE, NAME = "ta", "தமிழ்"
PACKAGE = Path(texts_module.__file__).parent


def forget() -> None:
    """Have the files looked at anew."""
    for known in (languages, texts, catalogue.languages, catalogue.texts):
        known.cache_clear()


@pytest.fixture(autouse=True)
def one_more(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more language: a file like English under another name, beside the others."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE / "texts", folder / "texts")
    english = (folder / "texts/en.yaml").read_text("utf-8")
    (folder / f"texts/{CODE}.yaml").write_text(english.replace("language: English\n", f"language: {NAME}\n"), "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(texts_module, "files", lambda package: folder)
        forget()
        yield
    forget()


def test_the_wizard_offers_it_speaks_it_and_suggests_it_to_people(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    assert (CODE, NAME) in [(choice.value, choice.label) for choice in wizard.screen().choices]
    shown: list[Screen] = []
    walk(wizard, VILLAGE | {"language": CODE, "people.1.language": "hi"}, look=shown.append)
    assert {screen.language for screen in shown[1:]} == {CODE}
    assert all(f'lang="{CODE}"' in screen_page(screen) for screen in shown[1:])
    settings = settings_from(wizard.answers)
    assert settings.language == CODE and [person.language for person in settings.people] == [CODE, "hi"]


@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
def test_the_mail_office_is_told_a_language_that_it_speaks(tmp_path: Path, there: bool) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, VILLAGE | {"language": CODE, "people.1.language": "hi"})
    programs = Programs()
    if there:
        listed = '[{"login": "asha"}, {"login": "ravi"}]'
        programs.answers["mojomail person list"] = Done(0, listed)
    for action in actions(settings_from(wizard.answers), site_at(tmp_path, programs)):
        action.apply()
    verb = "set" if there else "add"
    called = [call[1:] for call in programs.calls if call[:3] == ("mojomail", "person", verb)]
    taken = [cli.parser("person").parse_args(call) for call in called]
    assert [(one.login, one.language) for one in taken] == [("asha", "en"), ("ravi", "hi")]


@pytest.mark.parametrize(
    ("listed", "language", "locale"),
    [
        ("en_IN.UTF-8 UTF-8\nhi_IN.UTF-8 UTF-8\n", CODE, "en_IN.UTF-8"),
        ("en_IN.UTF-8 UTF-8\nhi_IN.UTF-8 UTF-8\n", "hi", "hi_IN.UTF-8"),
        ("# ta_IN UTF-8\n\nen_GB.UTF-8 UTF-8\n", CODE, "en_GB.UTF-8"),
        ("en_IN.UTF-8 UTF-8\nta_IN.UTF-8 UTF-8\n", CODE, "ta_IN.UTF-8"),
        ("", CODE, "C.UTF-8"),
    ],
)
def test_the_system_speaks_a_language_that_the_image_has_a_locale_for(
    tmp_path: Path, listed: str, language: str, locale: str
) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"language": language})
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/locale.gen").write_text(listed)
    (action,) = (
        one for one in actions(settings_from(wizard.answers), site_at(tmp_path)) if one.name == "etc/default/locale"
    )
    action.apply()
    assert (tmp_path / "etc/default/locale").read_text().endswith(f"\nLANG={locale}\n")


def test_a_preset_and_raspberry_pi_imager_may_name_it(tmp_path: Path) -> None:
    people = f"people:\n  - {{name: Asha, login: asha, password: reads-mail-9, language: {CODE}}}\n"
    preset = read_preset(f"language: {CODE}\nkeeper: {{password: keeps-all-77}}\n{people}", MadeUp())
    settings = settings_from(preset.answers)
    assert (settings.language, settings.people[0].language) == (CODE, CODE)
    (tmp_path / "user-data").write_text(f"locale: {CODE}_IN.UTF-8\n")
    assert read_imager(tmp_path, MadeUp()).get("language") == CODE
    (tmp_path / "user-data").write_text("locale: xx_IN.UTF-8\n")
    assert read_imager(tmp_path, MadeUp()).get("language") is None


def test_the_screens_after_the_set_up_speak_it(tmp_path: Path) -> None:
    wizard = wizard_at(tmp_path)
    walk(wizard, {"language": CODE})
    assert Later(wizard.answers, lambda password: True, MadeUp()).screen().language == CODE
    assert facts(Status(), 0.0, texts(CODE)) == facts(Status(), 0.0, texts("en"))
    assert texts(CODE).name == NAME


def test_the_mail_office_speaks_it_too_once_it_has_texts_in_it_be_they_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spoken(CODE) == "en" and spoken("kn") == "kn"
    shutil.copytree(shipped.DIRECTORY / "texts", tmp_path / "texts")
    (tmp_path / f"texts/{CODE}.yaml").write_text('csv.empty: "யாரும் இல்லை"\n', "utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(shipped, "DIRECTORY", tmp_path)
        forget()
        assert spoken(CODE) == CODE
        words = ["person", "add", "asha", "--language", CODE], ["person", "import", "-", "--language", CODE]
        assert [cli.parser("person").parse_args(each).language for each in words] == [CODE, CODE]
        assert catalogue.say_in(CODE, "csv.empty") == "யாரும் இல்லை"
        assert catalogue.say_in(CODE, "csv.not-utf8") == catalogue.say_in("en", "csv.not-utf8")
    forget()
