"""How a screen of the wizard looks on a phone: plain HTML, one file of style, nothing from elsewhere, no script."""

from __future__ import annotations

from html import escape

from ..screens import Screen
from ..texts import Texts, texts

MANY = 12
"""Choices from which on a list is folded."""


def _frame(language: str, title: str, body: str, *, refresh: int = 0) -> str:
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return f"""<!DOCTYPE html>
<html lang="{escape(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="stylesheet" href="/style.css">
{again}
</head>
<body><main>{body}</main></body>
</html>
"""


def pin_page(language: str, *, problem: str = "", locked: bool = False) -> str:
    """The page that asks for the PIN."""
    say = texts(language).say
    told = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    form = f"""<form method="post" action="/pin">
<input class="pin" type="text" name="pin" inputmode="numeric" autocomplete="off" maxlength="7" autofocus
 aria-label="{escape(say("phone|pin"))}">
<nav><button class="next">{escape(say("phone|open"))}</button></nav></form>"""
    body = f"""<h1>{escape(say("phone|pin_title"))}</h1><p>{escape(say("phone|pin_help"))}</p>{told}"""
    return _frame(language, say("phone|pin_title"), body if locked else body + form, refresh=60 if locked else 0)


def screen_page(screen: Screen, *, notice: str = "") -> str:
    """The page of one screen."""
    said = texts(screen.language)
    parts = "".join(
        f'<i class="{"now" if part == screen.part else "past" if part < screen.part else ""}"></i>'
        for part in range(screen.parts)
    )
    body = [f'<header><span>{escape(screen.chapter)}</span><span class="parts">{parts}</span></header>']
    body.append(f"<h1>{escape(screen.title)}</h1>")
    body += [f"<p>{escape(screen.help)}</p>"] if screen.help else []
    body += [f"<p>{escape(notice)}</p>"] if notice else []
    body += [f'<p class="problem" role="alert">{escape(screen.problem)}</p>'] if screen.problem else []
    body.append(_lines(screen))
    body += [f"<p><small>{escape(screen.aid)}</small></p>"] if screen.aid else []
    if screen.look == "busy":
        body.append(f"<p>{escape(said.say('phone|wait'))}</p>")
    else:
        body.append(_form(screen, said))
    return _frame(screen.language, screen.title, "\n".join(body), refresh=3 if screen.look == "busy" else 0)


def closing_page(language: str, address: str) -> str:
    """The last page."""
    say = texts(language).say
    body = f"<h1>{escape(say('join|title'))}</h1><p>{escape(say('phone|done', address=address))}</p>"
    return _frame(language, say("join|title"), body)


def _lines(screen: Screen) -> str:
    if not screen.lines:
        return ""
    shown = "".join(
        f"<dt{f' class={chr(34)}{line.mark}{chr(34)}' if line.mark else ''}>{escape(line.label)}</dt>"
        + (f"<dd>{escape(line.value)}</dd>" if line.value else "")
        for line in screen.lines
    )
    return f"<dl>{shown}</dl>"


def _form(screen: Screen, said: Texts) -> str:
    back = f'<button class="back" name="back" value="1" formnovalidate>{escape(said.say("keys|back"))}</button>'
    none = f'<button class="back" name="empty" value="1">{escape(said.say("phone|empty"))}</button>'
    hides_one = screen.look == "secret" and screen.optional and screen.value and not screen.suggested
    return f"""<form method="post" action="/" autocomplete="off">
<input type="hidden" name="at" value="{escape(screen.at)}">
{_input(screen, said)}
<nav><button class="next" name="next" value="1">{escape(said.say("keys|next"))}</button>
{none if hides_one else ""}
{back if screen.can_go_back else ""}</nav></form>"""


def _input(screen: Screen, said: Texts) -> str:
    if screen.look in ("text", "secret"):
        hidden = screen.look == "secret" and not screen.suggested
        value = "" if hidden else screen.value
        note = "suggestion" if screen.suggested else "typed" if hidden and screen.value else "optional"
        shown = said.say(f"keys|{note}") if note != "optional" or screen.optional else ""
        keyboard = 'autocapitalize="none" autocorrect="off" spellcheck="false"'
        named = f'aria-label="{escape(screen.title)}"'
        return f"""<input type="text" name="value" value="{escape(value)}" {keyboard} {named}>
<small>{escape(shown)}</small>"""
    if len(screen.choices) > MANY:
        options = "".join(
            f'<option value="{escape(choice.value)}"{" selected" if choice.value == screen.value else ""}>'
            f"{escape(choice.label)}</option>"
            for choice in screen.choices
        )
        return f'<select name="value" aria-label="{escape(screen.title)}">{options}</select>'
    known = screen.value in {choice.value for choice in screen.choices}
    return "".join(
        f'<label class="choice"><input type="radio" name="value" value="{escape(choice.value)}"'
        f"{' checked' if choice.value == screen.value or (not known and choice == screen.choices[-1]) else ''}>"
        f"<span>{escape(choice.label)}</span></label>"
        for choice in screen.choices
    )
