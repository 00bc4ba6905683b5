"""The AT commands that the lab's modem (modem.py) knows, by ITU-T V.250 and 3GPP TS 27.007; any other is an ERROR.

Sections in docstrings are those of 27.007 where nothing else is said. No SMS: a dongle is a link here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.modem import Line, Modem
    from tests.lab.sim import Sim

UTRAN = 2
"""Access technology (7.2): 3G."""
AUTOMATIC, DEREGISTERED = "0", "2"
"""Ways to choose an operator (7.3)."""
NOT_ALLOWED, NOT_SUPPORTED, NO_SIM, PIN_WANTED, PUK_WANTED, WRONG_PIN = 3, 4, 10, 11, 12, 16
NO_SERVICE, BAD_VALUE, NOT_SUBSCRIBED = 30, 50, 133
ERRORS = {
    NOT_ALLOWED: "operation not allowed",
    NOT_SUPPORTED: "operation not supported",
    NO_SIM: "SIM not inserted",
    PIN_WANTED: "SIM PIN required",
    PUK_WANTED: "SIM PUK required",
    WRONG_PIN: "incorrect password",
    NO_SERVICE: "no network service",
    BAD_VALUE: "incorrect parameters",
    NOT_SUBSCRIBED: "requested service option not subscribed",
}
"""+CME ERROR (9.2)."""
WITHOUT_SIM = {"CPIN", "CFUN", "CMEE", "CGMI", "CGMM", "CGMR", "CGSN", "GMI", "GMM", "GMR", "GSN", "GCAP", "CSCS"}
WITHOUT_PIN = WITHOUT_SIM | {"CLCK", "CSIM", "CRSM", "CSQ", "CREG", "CGREG"}
COMMAND = re.compile(r'\+([A-Z0-9]+)(=\?|\?|=(?:"[^"]*"|[^;])*)?;?|([DISEVXQZH]|&[A-Z])([^A-Z&+]*)|(S\d+)([=?]\d*)')
"""One command of a line (V.250, 5.4): extended ones, basic ones with their value, S-parameters."""
DIAL = re.compile(r"[TP]?\*99(?:\*\*\*(\d+))?#")
"""The GPRS service code with its context (10.2.1.1)."""


class CmeError(Exception):
    """A command that cannot be done; the code is that of 9.2."""

    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code])
        self.code = code


class Failed(Exception):
    """A command that ends with a result of its own, such as NO CARRIER."""


@dataclass(frozen=True)
class Call:
    """An extended command: its name without the sign, how it is used ("", "?", "=?" or "="), and its values."""

    name: str
    how: str
    values: tuple[str, ...] = ()

    def value(self, index: int, otherwise: str = "") -> str:
        """A value by its place."""
        return self.values[index] if index < len(self.values) and self.values[index] else otherwise


Handler = Callable[["Modem", "Line", "Call", float], list[str]]
HANDLERS: dict[str, Handler] = {}
"""By name, without the sign."""


# ---- a line of commands


def obey(modem: Modem, line: Line, words: str, now: float) -> None:
    """Do a line of commands, up to the first that fails (V.250, 5.2.1)."""
    try:
        at = 0
        while at < len(words):
            found = COMMAND.match(words, at) or COMMAND.match(words.upper(), at)
            if found is None:
                raise Failed("ERROR")
            at = found.end()
            if found[1]:
                for text in _extended(modem, line, read_call(found[1], found[2] or ""), now):
                    line.say(text)
            elif found[3] == "D":
                _dial(modem, line, words[found.start(4) :].rstrip(";"), now)
                return
            elif found[3]:
                _basic(modem, line, found[3], found[4].strip(), now)
        line.result("OK")
    except CmeError as error:
        told = {1: f"+CME ERROR: {error.code}", 2: f"+CME ERROR: {error}"}
        line.result(told.get(line.errors, "ERROR"))
    except Failed as failed:
        line.result(str(failed))


def _basic(modem: Modem, line: Line, name: str, value: str, now: float) -> None:
    """V.250, 6.1 and 6.2."""
    if name in ("Z", "&F"):
        line.reset()
    elif name == "E":
        line.echo = value == "1"
    elif name == "V":
        line.verbose = value != "0"
    elif name == "Q":
        line.quiet = value == "1"
    elif name == "I":
        for text in (modem.make, modem.model, modem.version, f"IMEI: {modem.serial}", "+GCAP: +CGSM"):
            line.say(text)
    elif name == "H":
        modem.hang_up(now)


def _extended(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    handler = HANDLERS.get(call.name)
    if handler is None:
        raise Failed("ERROR")
    if modem.sim is None and call.name not in WITHOUT_SIM:
        raise CmeError(NO_SIM)
    locked = modem.sim is not None and modem.sim.wants != "READY"
    if locked and call.name not in WITHOUT_PIN and call.how != "=?":
        raise CmeError(PUK_WANTED if _sim(modem).wants == "SIM PUK" else PIN_WANTED)
    return handler(modem, line, call, now)


def _dial(modem: Modem, line: Line, number: str, now: float) -> None:
    """Connect to the packet network (10.2.1.1)."""
    asked = DIAL.fullmatch(number)
    if asked is None or modem.sim is None or modem.sim.wants != "READY":
        raise Failed("NO CARRIER")
    try:
        modem.dial(line, int(asked[1] or 1), now)
    except CmeError as error:
        modem.cause = str(error)
        raise Failed("NO CARRIER") from None


def read_call(name: str, rest: str) -> Call:
    """An extended command's parts (V.250, 5.4)."""
    if rest in ("", "?", "=?"):
        return Call(name, rest)
    values = re.findall(r'\s*(?:"([^"]*)"|([^,]*))\s*(?:,|\Z)', rest[1:])
    found = [quoted or plain.strip() for quoted, plain in values]
    return Call(name, "=", tuple(found[:-1] if len(found) > 1 and not rest.endswith(",") else found))


def _command(*names: str) -> Callable[[Handler], Handler]:
    def keep(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return keep


def _number(text: str) -> int:
    if not text.isdecimal():
        raise CmeError(BAD_VALUE)
    return int(text)


def _sim(modem: Modem) -> Sim:
    """The card; +CPIN is asked of a modem without one, too."""
    if modem.sim is None:
        raise CmeError(NO_SIM)
    return modem.sim


# ---- the modem itself


@_command("CGMI", "GMI", "CGMM", "GMM", "CGMR", "GMR", "CGSN", "GSN", "GCAP")
def _identity(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """5.1 to 5.4; +GCAP of V.250, 6.1.9."""
    if call.how == "=?":
        return []
    if call.how:
        raise CmeError(NOT_SUPPORTED)
    told = {"MI": modem.make, "MM": modem.model, "MR": modem.version, "SN": modem.serial}
    return ["+GCAP: +CGSM"] if call.name == "GCAP" else [told[call.name[-2:]]]


@_command("CMEE")
def _errors(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """How errors are told (9.1)."""
    if call.how == "=":
        line.errors = _number(call.value(0, "0"))
        return []
    return [f"+CMEE: {line.errors}" if call.how == "?" else "+CMEE: (0-2)"]


@_command("CSCS")
def _letters(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Character set (5.5); all that is told here is ASCII."""
    if call.how == "=" and call.value(0) not in ("IRA", "GSM"):
        raise CmeError(NOT_SUPPORTED)
    return {"?": ['+CSCS: "IRA"'], "=?": ['+CSCS: ("IRA","GSM")']}.get(call.how, [])


@_command("CFUN")
def _functions(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Radio on (1) or off (4), and a reset (8.2)."""
    if call.how == "=":
        wanted = _number(call.value(0))
        if wanted not in (0, 1, 4):
            raise CmeError(NOT_SUPPORTED)
        if call.value(1) == "1":
            modem.power_on()
        modem.set_radio(wanted == 1, now)
        return []
    return [f"+CFUN: {1 if modem.radio else 4}" if call.how == "?" else "+CFUN: (0,1,4),(0,1)"]


# ---- the SIM card


@_command("CPIN")
def _pin(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """What the card waits for, and giving it (8.3)."""
    sim = _sim(modem)
    if call.how == "?":
        return [f"+CPIN: {sim.wants}"]
    if call.how == "=?":
        return []
    if sim.wants == "READY":
        raise CmeError(NOT_ALLOWED)
    if sim.wants == "SIM PUK":
        if len(call.values) < 2:
            raise CmeError(PUK_WANTED)
        good = sim.unblock(call.value(0), call.value(1))
    else:
        good = sim.verify(call.value(0))
    if not good:
        raise CmeError(WRONG_PIN)
    modem.look_around(now)
    return []


def _sim_or_none(modem: Modem) -> Sim:
    """+CPIN is asked of a modem without a card, too."""
    if modem.sim is None:
        raise CmeError(10)
    return modem.sim


@_command("CLCK")
def _lock(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Whether the card wants a PIN at all; "SC" is the only facility (7.4)."""
    sim = _sim(modem)
    if call.how == "=?":
        return ['+CLCK: ("SC")']
    if call.how != "=" or call.value(0) != "SC":
        raise CmeError(NOT_SUPPORTED)
    mode = _number(call.value(1))
    if mode == 2:
        return [f"+CLCK: {int(bool(sim.pin))}"]
    if bool(sim.pin) == bool(mode):
        return []
    if mode == 1:
        raise CmeError(NOT_SUPPORTED)  # a card here has no PIN beside the one that it wants
    if not sim.verify(call.value(2)):
        raise CmeError(WRONG_PIN)
    sim.pin = ""
    return []


@_command("CIMI")
def _subscriber(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """The IMSI (5.6)."""
    return [] if call.how else [_sim(modem).imsi]


@_command("CSIM")
def _card(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """A command for the card as it is, which is how tries are counted (8.17)."""
    if call.how != "=":
        return []
    try:
        apdu = bytes.fromhex(call.value(1))
        if len(apdu) * 2 != _number(call.value(0)):
            raise CmeError(BAD_VALUE)
        answer = _sim(modem).command(apdu).hex().upper()
    except ValueError:
        raise CmeError(BAD_VALUE) from None
    return [f'+CSIM: {len(answer)},"{answer}"']


@_command("CRSM")
def _file(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Reading a file of the card: READ BINARY alone (8.18)."""
    if call.how != "=" or _number(call.value(0)) != 176:
        raise CmeError(NOT_SUPPORTED)
    status, data = _sim(modem).read(_number(call.value(1)), _number(call.value(4, "0")))
    return [f"+CRSM: {status >> 8},{status & 0xFF}" + (f',"{data.hex().upper()}"' if data else "")]


# ---- the network


@_command("CREG", "CGREG")
def _registration(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Whether there is a network, and being told of changes (7.2, 10.1.20)."""
    if call.how == "=":
        form = _number(call.value(0, "0"))
        if form not in (0, 1, 2):
            raise CmeError(BAD_VALUE)
        line.reports[call.name] = form
        return []
    form = line.reports[call.name]
    return [f"+{call.name}: {form},{modem.place(form)}" if call.how == "?" else f"+{call.name}: (0-2)"]


@_command("COPS")
def _operator(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """The operator, and leaving it to the modem to find one (7.3)."""
    network = modem.network
    if call.how == "=":
        mode = call.value(0, AUTOMATIC)
        if mode == "3":
            modem.operator_form = call.value(1, "0")
        elif mode == "1" and call.value(2) not in (network.operator, network.name):
            raise CmeError(NO_SERVICE)
        else:
            modem.set_radio(mode != DEREGISTERED, now)
        return []
    name = f'"{network.operator if modem.operator_form == "2" else network.name}"'
    if call.how == "=?":
        found = f'(2,"{network.name}","{network.name}","{network.operator}",{UTRAN})'
        return [f"+COPS: {found if network.signal is not None else ''},,(0-3),(0-2)"]
    return [f"+COPS: 0,{modem.operator_form},{name},{UTRAN}" if modem.registered else "+COPS: 0"]


@_command("CSQ")
def _signal(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """How strong the signal is; 99 is none (8.5)."""
    if call.how == "=?":
        return ["+CSQ: (0-31,99),(99)"]
    signal = modem.network.signal if modem.radio else None
    return [f"+CSQ: {99 if signal is None else signal},99"]


# ---- connections


@_command("CGDCONT")
def _context(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """The contexts: a number, a kind, an APN (10.1.1)."""
    if call.how == "=?":
        return ['+CGDCONT: (1-16),"IP",,,(0),(0)']
    if call.how != "=":
        return [f'+CGDCONT: {at},"{kind}","{apn}","",0,0' for at, (kind, apn) in sorted(modem.contexts.items())]
    number = _number(call.value(0))
    if not 1 <= number <= 16 or call.value(1, "IP") != "IP":
        raise CmeError(BAD_VALUE)
    if len(call.values) == 1:
        modem.contexts.pop(number, None)
    else:
        modem.contexts[number] = ("IP", call.value(2))
    return []


@_command("CGATT")
def _attachment(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Being in the packet network (10.1.9); as long as there is a network, the dongle is."""
    if call.how == "=?":
        return ["+CGATT: (0,1)"]
    attached = modem.registered
    if call.how == "?":
        return [f"+CGATT: {int(attached)}"]
    if _number(call.value(0)) == 1 and not attached:
        raise CmeError(NO_SERVICE)
    return []


@_command("CGACT")
def _activation(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Contexts that are in use (10.1.10)."""
    if call.how == "=?":
        return ["+CGACT: (0,1)"]
    if call.how == "?":
        return [f"+CGACT: {at},{int(at == modem.active)}" for at in sorted(modem.contexts)]
    number = _number(call.value(1)) if len(call.values) > 1 else None
    if _number(call.value(0)) == 1:
        modem.activate(number or 1)
    elif number in (None, modem.active):
        modem.hang_up(now)
    return []


@_command("CEER")
def _cause(modem: Modem, line: Line, call: Call, now: float) -> list[str]:
    """Why the last call failed (6.10)."""
    return [] if call.how == "=?" else [f"+CEER: {modem.cause}"]
