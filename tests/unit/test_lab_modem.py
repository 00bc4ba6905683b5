"""The lab's modem, as ModemManager talks to it: commands, the SIM card's tries, the network, a call and its end."""

from __future__ import annotations

import pytest

from tests.lab.hdlc import frame
from tests.lab.modem import Line, Modem, Network
from tests.lab.ppp import LCP, TERMINATE
from tests.lab.sim import PIN_TRIES, Sim
from tests.unit.test_lab_ppp import Host

PIN = "4242"


class Computer:
    """Who sits at the two lines of a modem; `now` is the time that it tells the modem."""

    def __init__(self, sim: Sim | None, network: Network | None = None) -> None:
        self.modem = Modem(sim, network)
        self.now = 0.0
        for line in self.modem.lines:
            self.ask("ATE0V1+CMEE=1", line)

    def ask(self, command: str, line: Line | None = None) -> list[str]:
        """Type a command, and give what comes back, without empty lines."""
        line = line or self.modem.lines[0]
        self.modem.receive(line, command.encode() + b"\r", self.now)
        return self.read(line)

    def read(self, line: Line | None = None) -> list[str]:
        """What the modem has said since, on its first line or another."""
        line = line or self.modem.lines[0]
        said = bytes(line.to_host).decode("latin-1")
        line.to_host.clear()
        return [part for part in said.split("\r\n") if part]

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.modem.tick(self.now)

    def register(self) -> None:
        """Wait until there is a network."""
        self.wait(self.modem.network.search)
        assert self.modem.registered

    def dial(self) -> Host:
        """Dial, and open the link as pppd does; the modem's end of it hears and is heard without the line."""
        assert self.ask('AT+CGDCONT=2,"IP","jionet"') == ["OK"]
        assert self.ask("ATD*99***2#")[0] == "CONNECT"
        line = self.modem.lines[0]
        assert line.ppp is not None
        host = Host()
        host.end = line.ppp
        return host


@pytest.fixture
def open_card() -> Computer:
    """A modem whose card wants no PIN, with a network."""
    computer = Computer(Sim())
    computer.register()
    return computer


# ---- commands


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AT", ["OK"]),
        ("at+csq", ["+CSQ: 17,99", "OK"]),
        ("AT+CGMI", ["MojoMail", "OK"]),
        ("AT+CGMI;+CGMM", ["MojoMail", "Stand-in 3G", "OK"]),
        ("ATZ E0 V1 X4 &C1", ["OK"]),
        ("ATE0+CSQ", ["+CSQ: 17,99", "OK"]),
        ("ATS0=0", ["OK"]),
        ("AT+GCAP", ["+GCAP: +CGSM", "OK"]),
        ("AT+CGDCONT=?", ['+CGDCONT: (1-16),"IP",,,(0),(0)', "OK"]),
        ("AT+CEREG?", ["ERROR"]),
        ("AT%IPSYS?", ["ERROR"]),
        ("AT^SYSINFO", ["ERROR"]),
        ("AT+CMEE=x", ["+CME ERROR: 50"]),
        ("AT+CGMI;+NONE;+CGMM", ["MojoMail", "ERROR"]),
        ("AT+CRSM=176,12258,0,0,10", ['+CRSM: 144,0,"98194810325476981082"', "OK"]),
        ("AT+CRSM=176,28486,0,0,17", ["+CRSM: 106,130", "OK"]),
        ("AT+CGSN", ["490154203237518", "OK"]),
        ("AT+CIMI", ["405840123456789", "OK"]),
        ("AT+CGATT?", ["+CGATT: 1", "OK"]),
        ("AT+COPS?", ['+COPS: 0,0,"Village Telecom",2', "OK"]),
        ("AT+COPS=3,2;+COPS?", ['+COPS: 0,2,"405840",2', "OK"]),
    ],
)
def test_commands_are_answered_as_the_standards_say(command: str, answer: list[str], open_card: Computer) -> None:
    assert open_card.ask(command) == answer


def test_a_command_may_come_letter_by_letter_with_rubbish_before_it_and_is_echoed() -> None:
    modem = Modem(Sim())
    line = modem.lines[0]
    for byte in b"\x7eNOAT+CSQ\r":
        modem.receive(line, bytes([byte]), 0.0)
    assert bytes(line.to_host) == b"\x7eNOAT+CSQ\r\r\n+CSQ: 17,99\r\n\r\nOK\r\n"


def test_errors_are_told_as_each_line_wants_them(open_card: Computer) -> None:
    first, second = open_card.modem.lines
    open_card.ask("AT+CMEE=2", second)
    assert open_card.ask('AT+CSCS="UCS2"', first) == ["+CME ERROR: 4"]
    assert open_card.ask('AT+CSCS="UCS2"', second) == ["+CME ERROR: operation not supported"]
    open_card.ask("AT+CMEE=0", second)
    assert open_card.ask('AT+CSCS="UCS2"', second) == ["ERROR"]


def test_a_modem_without_a_card_says_so() -> None:
    computer = Computer(None)
    assert computer.ask("AT+CPIN?") == ["+CME ERROR: 10"]
    assert computer.ask("AT+CIMI") == ["+CME ERROR: 10"]
    assert computer.ask("AT+CGSN")[-1] == "OK"


# ---- the SIM card


def tries(computer: Computer) -> str:
    """What the card says of the tries that its PIN has left."""
    return computer.ask('AT+CSIM=10,"0020000100"')[0]


def test_a_card_with_a_pin_lets_nobody_in_before_it() -> None:
    computer = Computer(Sim(pin=PIN))
    assert computer.ask("AT+CPIN?") == ["+CPIN: SIM PIN", "OK"]
    for command in ("AT+CIMI", "AT+CGACT=1,1", "AT+COPS?"):
        assert computer.ask(command) == ["+CME ERROR: 11"]
    assert computer.ask("ATD*99#") == ["NO CARRIER"]
    computer.wait(100)
    assert computer.ask("AT+CREG?")[0] == "+CREG: 0,0"
    assert computer.ask(f'AT+CPIN="{PIN}"') == ["OK"]
    assert computer.ask("AT+CPIN?") == ["+CPIN: READY", "OK"]
    computer.register()
    assert computer.ask('AT+CPIN="1"') == ["+CME ERROR: 3"]


def test_three_wrong_pins_lock_the_card_and_its_puk_opens_it() -> None:
    sim = Sim(pin=PIN)
    computer = Computer(sim)
    for left in (3, 2, 1):
        assert tries(computer) == f'+CSIM: 4,"63C{left}"'
        assert computer.ask('AT+CPIN="0000"') == ["+CME ERROR: 16"]
    assert tries(computer) == '+CSIM: 4,"6983"'
    assert computer.ask("AT+CPIN?") == ["+CPIN: SIM PUK", "OK"]
    assert computer.ask("AT+CIMI") == ["+CME ERROR: 12"]
    assert computer.ask(f'AT+CPIN="{PIN}"') == ["+CME ERROR: 12"]
    assert computer.ask('AT+CPIN="00000000","5555"') == ["+CME ERROR: 16"]
    assert computer.ask('AT+CPIN="12345678","5555"') == ["OK"]
    assert (sim.pin, sim.tries, sim.wants) == ("5555", PIN_TRIES, "READY")
    assert sim.presented == ["0000"] * 3


def test_a_right_pin_gives_all_tries_back_and_is_wanted_again_after_the_power_was_gone() -> None:
    sim = Sim(pin=PIN)
    computer = Computer(sim)
    computer.ask('AT+CPIN="0000"')
    computer.ask(f'AT+CPIN="{PIN}"')
    assert sim.tries == PIN_TRIES
    computer.modem.power_on()
    assert sim.wants == "SIM PIN"
    computer.ask('AT+CPIN="0000"')
    computer.modem.power_on()
    assert sim.tries == PIN_TRIES - 1, "tries outlast the power"


def test_whether_the_card_wants_a_pin_can_be_asked_and_ended() -> None:
    computer = Computer(Sim(pin=PIN))
    assert computer.ask('AT+CLCK="SC",2') == ["+CLCK: 1", "OK"]
    assert computer.ask('AT+CLCK="SC",0,"0000"') == ["+CME ERROR: 16"]
    assert computer.ask(f'AT+CLCK="SC",0,"{PIN}"') == ["OK"]
    assert computer.ask('AT+CLCK="SC",2') == ["+CLCK: 0", "OK"]


# ---- the network


def test_the_modem_looks_for_a_network_and_tells_who_wants_to_hear_of_it() -> None:
    computer = Computer(Sim(), Network(search=5.0))
    computer.ask("AT+CREG=2")
    assert computer.ask("AT+CREG?")[0] == "+CREG: 2,2"
    computer.wait(4.9)
    assert computer.read() == []
    computer.wait(0.1)
    assert computer.read() == ['+CREG: 1,"1A2B","0C3D4E5F",2']
    assert computer.read(computer.modem.lines[1]) == []
    computer.modem.set_signal(None, computer.now)
    assert computer.read() == ["+CREG: 2"]
    assert computer.ask("AT+CSQ")[0] == "+CSQ: 99,99"
    assert computer.modem.next_event() == float("inf")


def test_the_radio_can_be_switched_off_and_on(open_card: Computer) -> None:
    assert open_card.ask("AT+CFUN=4;+CREG?;+CFUN?") == ["+CREG: 0,0", "+CFUN: 4", "OK"]
    open_card.ask("AT+CFUN=1")
    open_card.register()


# ---- calls


def test_a_call_goes_to_the_apn_of_its_context(open_card: Computer) -> None:
    open_card.dial()
    assert open_card.modem.dialled == ["jionet"]
    assert "+CGACT: 2,1" in open_card.ask("AT+CGACT?", open_card.modem.lines[1])


def test_an_apn_that_the_network_does_not_know_is_refused(open_card: Computer) -> None:
    assert open_card.ask("ATD*99#") == ["NO CARRIER"]
    assert open_card.ask("AT+CEER")[0] == "+CEER: requested service option not subscribed"
    assert open_card.ask("AT+CGACT=1,1") == ["+CME ERROR: 133"]
    assert open_card.ask("ATD*99***7#") == ["NO CARRIER"], "a context that is not there"
    assert open_card.ask("ATD12345;") == ["NO CARRIER"], "nobody to talk to"
    assert open_card.modem.dialled == ["internet", "internet"]


def test_there_is_no_call_before_there_is_a_network() -> None:
    computer = Computer(Sim(), Network(signal=None))
    computer.ask('AT+CGDCONT=1,"IP","jionet"')
    assert computer.ask("ATD*99#") == ["NO CARRIER"]
    assert computer.modem.dialled == []


def test_packets_go_both_ways_during_a_call(open_card: Computer) -> None:
    line = open_card.modem.lines[0]
    host = open_card.dial()
    host.open()
    assert open_card.modem.connected
    open_card.read()
    for byte in frame(b"\0\x21E up AT\r"):
        open_card.modem.receive(line, bytes([byte]), open_card.now)
    assert open_card.modem.packets == [b"E up AT\r"]
    open_card.modem.deliver(b"E down")
    assert b"E down" in bytes(line.to_host)


def test_a_call_that_pppd_ends_gives_the_line_back(open_card: Computer) -> None:
    host = open_card.dial()
    host.open()
    host.say(LCP, TERMINATE, 1)
    open_card.wait(0)
    assert "NO CARRIER" in open_card.read()
    assert open_card.ask("AT") == ["OK"]
    assert not open_card.modem.connected


@pytest.mark.parametrize("command", ["ATH", "AT+CGACT=0,2", "AT+CFUN=4"])
def test_a_call_can_be_ended_from_the_other_line(command: str, open_card: Computer) -> None:
    first, second = open_card.modem.lines
    open_card.dial().open()
    open_card.read()
    assert open_card.ask(command, second) == ["OK"]
    assert open_card.read(first) == ["NO CARRIER"]
    assert open_card.ask("AT+CGACT?", second)[1] == "+CGACT: 2,0"


def test_a_line_that_commands_during_a_call_has_hung_up(open_card: Computer) -> None:
    open_card.dial().open()
    open_card.read()
    line = open_card.modem.lines[0]
    open_card.modem.receive(line, b"\x7e\xff\x03half a frame", open_card.now)
    for byte in b"AT+CSQ\r":
        open_card.modem.receive(line, bytes([byte]), open_card.now)
    assert open_card.read() == ["NO CARRIER", "+CSQ: 17,99", "OK"]


def test_a_call_is_lost_with_the_signal_and_can_be_made_again(open_card: Computer) -> None:
    open_card.dial().open()
    open_card.read()
    open_card.modem.set_signal(None, open_card.now)
    assert open_card.read() == ["NO CARRIER"]
    open_card.modem.set_signal(20, open_card.now)
    open_card.register()
    open_card.dial().open()
    assert open_card.modem.connected
    assert open_card.modem.dialled == ["jionet", "jionet"]
