"""What `serve` can be told: settings, the file, the session class; without a server."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from proactor import (
    DelimiterFraming,
    FixedFraming,
    LengthFraming,
    Packet,
    PacketFraming,
    RateAction,
    ServerOptions,
    Session,
    SlowConsumer,
    StreamLimits,
    UnknownPacket,
)
from proactor.cli import app
from proactor.cli.exits import Failed, Misused
from proactor.cli.services import SERVICES
from proactor.cli.services.chat import Guest
from proactor.cli.services.echo import Echo
from proactor.cli.serving.command import order_of
from proactor.cli.serving.config import COMMAND_KEYS, Configured, read_config
from proactor.cli.serving.framings import FramingKind
from proactor.cli.serving.session_class import configured, session_class_of
from proactor.cli.serving.settings import OTHERS, by_key, settings


@pytest.fixture
def config(tmp_path, monkeypatch):
    """``config(text)`` reads a file ``server.toml`` with this text."""
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> Configured:
        Path("server.toml").write_text(dedent(text), encoding="utf-8")
        return read_config("server.toml")

    return read


@pytest.fixture
def module(tmp_path, monkeypatch):
    """``module(name, text)`` makes a module in the current folder; it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)

    def make(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


# -- the table --


def test_every_option_of_the_server_and_of_its_streams_is_a_setting_with_a_text():
    found = {setting.name: setting for setting in settings()}
    wanted = {field.name for owner in (ServerOptions, StreamLimits) for field in fields(owner)}

    assert wanted < set(found)
    assert set(found) - wanted == {
        "framing", "slow_consumer", "unknown_packet", "heartbeat_packet",
    }  # fmt: skip
    for setting in found.values():
        assert setting.text.endswith("."), setting.name
        assert setting.group != OTHERS, setting.name
        assert "None" not in setting.text and "`" not in setting.text, setting.name


def test_every_setting_has_its_flags_in_the_help():
    result = CliRunner().invoke(app.app, ["serve", "--help"], env={"COLUMNS": "200"})

    assert result.exit_code == 0
    for setting in settings():
        for flag in setting.flags:
            assert flag in result.output, flag
    assert "proactor serve chat -p 4000" in result.output


def test_no_two_settings_have_a_flag_in_common():
    flags = [flag for setting in settings() for flag in setting.flags]

    assert len(flags) == len(set(flags))
    assert not set(by_key()) & set(COMMAND_KEYS)


def test_every_default_is_accepted_as_a_flag_in_the_way_in_which_it_is_shown():
    for setting in settings():
        if setting.part == "session" or isinstance(setting.default, bool):
            continue
        if setting.name != "backlog":  # It differs from system to system.
            read = setting.read(setting.shown_default, setting.flag, as_text=True)
            assert read == setting.default, setting.name


# -- flags --


def test_flags_reach_the_options_the_limits_and_the_class():
    given = {
        "max_sessions": 5,
        "idle_timeout": "2.5",
        "stall_timeout": "off",
        "rate_action": "delay",
        "proxy_protocol": True,
        "send_bytes": 1000,
        "slow_consumer": "drop-oldest",
        "unknown_packet": "close",
        "framing": "packet:byteorder=big,max_frame=1000",
        "heartbeat_packet": r"7:are you there?\n",
    }

    order = order_of("echo", Configured(), given)

    options, made = order.options, order.session_class
    assert (options.max_sessions, options.idle_timeout, options.stall_timeout) == (5, 2.5, None)
    assert (options.rate_action, options.proxy_protocol) == (RateAction.DELAY, True)
    assert made.limits == StreamLimits(send_bytes=1000, send_high=500, send_low=125)
    assert made.slow_consumer is SlowConsumer.DROP_OLDEST
    assert made.unknown_packet is UnknownPacket.CLOSE
    assert made.framing == PacketFraming(1000, byteorder="big")
    assert made.heartbeat_packet == Packet(7, b"are you there?\n")
    assert (made.__name__, issubclass(made, Echo)) == ("Echo", True)
    assert Echo.limits == StreamLimits()  # The class itself is as it was.


def test_what_nobody_sets_is_what_the_class_and_the_options_say():
    order = order_of("chat", Configured(), {})

    assert order.options == ServerOptions()
    assert order.session_class.framing == Guest.framing
    assert order.session_class.slow_consumer is SlowConsumer.DROP_OLDEST


def test_a_mark_follows_the_one_above_it_that_is_given_alone():
    # Goal: with a small limit the session is still told to send less before the limit is reached.
    def limits(**given: int) -> StreamLimits:
        return order_of("echo", Configured(), given).session_class.limits

    assert limits(inbox_high=1000) == StreamLimits(inbox_high=1000, inbox_low=250)
    assert limits(send_bytes=800) == StreamLimits(send_bytes=800, send_high=400, send_low=100)
    assert limits(send_bytes=10**9) == StreamLimits(send_bytes=10**9)
    with pytest.raises(Misused, match=r"^--send-high is at most send_bytes \(10\), not 11"):
        limits(send_bytes=10, send_high=11)


def test_each_server_of_the_chat_has_rooms_of_its_own():
    houses = {id(order_of("chat", Configured(), {}).session_class.house) for _ in range(2)}

    assert len(houses) == 2


@pytest.mark.parametrize("text", ["nan", "inf", "1e300", "-inf"])
def test_numbers_that_no_clock_knows_are_refused(text):
    with pytest.raises(Misused, match="--idle-timeout is a number"):
        order_of("echo", Configured(), {"idle_timeout": text})


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("send_packets", 99999999999, "--send-packets is a whole number, not 99999999999: it may"),
        ("frames_a_turn", 2**31, "it may be 2147483647 at most"),
        ("tcp_user_timeout", "3e6", "not '3e6': it may be 1000000 at most"),
        ("max_per_address", "99999999999", "it may be 2147483647 at most"),
        ("concurrency", -1, "--concurrency is 0 or more, not -1"),
    ],
)
def test_a_number_that_the_system_could_not_take_is_refused_before_anything_is_served(
    name, given, words
):
    with pytest.raises(Misused) as caught:
        order_of("echo", Configured(), {name: given})

    assert words in str(caught.value)


def test_bytes_and_rates_may_be_large():
    given = {"send_bytes": 10**12, "bytes_per_second": "1e12", "max_queued_bytes": str(10**12)}

    options = order_of("echo", Configured(), given).options

    assert (options.bytes_per_second, options.max_queued_bytes) == (1e12, 10**12)


@pytest.mark.parametrize(
    ("text", "framing"),
    [
        ("lines", DelimiterFraming()),
        (r"delimiter:delimiter=\r\n,strip=false", DelimiterFraming(b"\r\n", strip=False)),
        (r"delimiter:delimiter=\xff\x2c", DelimiterFraming(b"\xff,")),
        ("fixed:64", FixedFraming(64)),
        ("fixed:size=64", FixedFraming(64)),
        ("length:length_bytes=4,byteorder=big", LengthFraming(length_bytes=4, byteorder="big")),
        ("Packet", PacketFraming()),
    ],
)
def test_a_framing_is_written_with_the_options_of_its_class(text, framing):
    assert FramingKind().from_text(text) == framing


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("packets", "'packets'"),
        ("packet:bytes=4", "its options are max_frame, size_bytes, id_bytes, byteorder"),
        ("packet:id_bytes=four", "id_bytes='four': give a whole number"),
        ("packet:id_bytes=5", "id_bytes is 5"),
        ("packet:byteorder=middle", "byteorder is 'middle'"),
        ("delimiter:strip=maybe", "give true or false"),
        ("fixed", "fixed without its options size"),
        ("raw:max_frame=5", "its options are none"),
    ],
)
def test_a_wrong_framing_says_what_there_is(text, words):
    with pytest.raises(Misused) as caught:
        order_of("echo", Configured(), {"framing": text})

    assert str(caught.value).startswith("--framing is one of raw, lines, packet, length")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("framing", "text"), [("packet", "seven"), ("packet", "99999999"), ("lines", r"a\nb")]
)
def test_a_heartbeat_that_the_framing_cannot_send_is_refused(framing, text):
    with pytest.raises(Misused, match=r"^--heartbeat-packet is"):
        order_of("echo", Configured(), {"framing": framing, "heartbeat_packet": text})


# -- the file --


def test_a_file_has_a_key_for_every_setting_in_the_way_of_its_flag(config):
    file = config(
        """
        service = "chat"
        max-sessions = 5
        drain = 2
        idle_timeout = "off"
        slow-consumer = "latest"
        proxy_protocol = true
        framing = { kind = "packet", byteorder = "big" }
        """
    )

    assert file.command == {"service": "chat"}
    order = order_of("chat", file, {})
    assert (order.options.max_sessions, order.options.drain_timeout) == (5, 2.0)
    assert (order.options.idle_timeout, order.options.proxy_protocol) == (None, True)
    assert order.session_class.slow_consumer is SlowConsumer.LATEST
    assert order.session_class.framing == PacketFraming(byteorder="big")


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(config):
    file = config("workers = 2\nmax_sessions = 7")

    options = order_of("echo", file, {"workers": 3}).options

    assert (options.workers, options.max_sessions, options.accepts) == (3, 7, 16)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("idel_timeout = 3", "unknown key 'idel_timeout': is it idle_timeout? There are accept_bu"),
        ("[server]\nport = 1", "unknown key 'server': is it service? There are"),
        ('workers = "five"', "workers is a whole number, not 'five'"),
        ("workers = true", "workers is a whole number, not True"),
        ("workers = 2.5", "workers is a whole number, not 2.5"),
        ("workers = 0", "workers is 1 or more, not 0"),
        ("idle-timeout = -1", "idle-timeout is a number above 0, or off, not -1.0"),
        ("idle-timeout = false", 'idle-timeout is a number, or "off", not False'),
        ("host = 7", "host is text in quotes, not 7"),
        ('quiet = "yes"', "quiet is true or false, not 'yes'"),
        ("report = 0", 'report is a number of seconds above 0, or "off", not 0'),
        ('rate_action = "stop"', "rate_action is one of close, drop, delay, not 'stop'"),
        ('proxy_protocol = "v2"', "proxy_protocol is true or false, not 'v2'"),
        ("framing = 5", "framing is one of raw, lines, packet"),
        ("framing = { byteorder = 'big' }", "framing is one of raw, lines, packet"),
        ("drain = 1\ndrain_timeout = 2", "drain_timeout is given twice"),
        (
            "workers = ",
            'not TOML: Invalid value (at end of document); a line is key = 5 or key = "t',
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_file_key_and_what_is_accepted(config, text, words):
    with pytest.raises(Misused) as caught:
        config(text)

    assert str(caught.value).startswith("server.toml: ")
    assert words in str(caught.value)


def test_limits_of_a_file_that_contradict_each_other_are_told_with_their_key(config):
    file = config("inbox-high = 9\ninbox-low = 10")

    with pytest.raises(Misused, match=r"^server.toml: inbox-low is from 0 to inbox_high \(9\)"):
        order_of("echo", file, {})


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path, answer):
    code, _, err = answer("serve", "--config", str(tmp_path))
    assert (code, "cannot read the configuration" in err) == (2, True)

    (tmp_path / "binary.toml").write_bytes(b"a = '\xff'")
    code, _, err = answer("serve", "--config", str(tmp_path / "binary.toml"))
    assert (code, "not UTF-8 at byte 5" in err) == (2, True)


def test_a_file_without_a_service_needs_one_from_the_command_line(config, answer):
    config("workers = 2")

    code, _, err = answer("serve", "--config", "server.toml")

    assert code == 2
    assert 'server.toml names no service: add service = "echo"' in err


# -- the class --


def test_the_services_have_their_names():
    assert list(SERVICES) == ["echo", "chat", "fanout"]
    assert session_class_of("echo") is Echo


def test_a_class_is_found_in_a_package_of_the_current_folder_also_within_a_class(module):
    module("own_game.sessions", "import proactor\nclass A:\n  class Player(proactor.Session): ...")

    found = session_class_of("own_game.sessions:A.Player")

    assert (found.__name__, issubclass(found, Session)) == ("Player", True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:Player", "there is no module 'no_such_module', neither in"),
        ("own_server.missing:Player", "there is no module 'own_server.missing'"),
        ("own_server:Plyer", "no 'Plyer': its sessions are Player; try own_server:Player"),
        ("own_server:lobby", "is of type Room, not a subclass of proactor.Session"),
        ("own_server:Room", "is the class Room, not a subclass of proactor.Session: its sessions"),
        ("own_server:", "name a class of your own as package.module:SessionClass"),
        (":Player", "name a class of your own as package.module:SessionClass"),
        ("own_server.py:Player", "is a file: name the module, own_server:Player"),
        ("empty_server:Player", "it has no sessions; write class Name(proactor.Session)"),
    ],
)
def test_a_class_that_is_not_there_says_what_there_is(module, name, words):
    module(
        "own_server",
        """
        from proactor import Room, Session

        class Player(Session):
            pass

        lobby = Room("lobby")
        """,
    )
    module("empty_server", "")

    with pytest.raises(Misused) as caught:
        session_class_of(name)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_thing", "No module named 'no_such_thing'"),
        ("\n\n1 / 0", "ZeroDivisionError: division by zero (broken_server.py, line 3)"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_module_that_fails_is_told_in_one_line_with_the_place(module, answer, text, words):
    module("broken_server", text)

    with pytest.raises(Failed, match="module broken_server cannot be imported"):
        session_class_of("broken_server:Player")
    code, out, err = answer("serve", "broken_server:Player", "--port", "0")

    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert words in err


def test_a_class_that_cannot_work_is_told_before_anything_is_served(module, answer):
    module(
        "handling_server",
        """
        from proactor import Session, handles

        class Player(Session):
            @handles(7)
            def seven(self, packet): ...
        """,
    )

    code, _, err = answer("serve", "handling_server:Player", "--port", "0")

    assert code == 2
    assert "handling_server:Player cannot serve: Player has @handles methods" in err


def test_a_configured_class_keeps_its_name_and_its_module():
    class Player(Session):
        """Plays."""

    made = configured(Player, {"slow_consumer": SlowConsumer.REFUSE}, {})

    assert (made.__name__, made.__qualname__) == (Player.__name__, Player.__qualname__)
    assert (made.__module__, made.__doc__) == (__name__, "Plays.")
