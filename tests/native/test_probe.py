"""What the native part says of this machine: a profile, and a reason for all that is not used."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import sysconfig

import pytest

from proactor.engines.native import probe
from proactor.engines.native.probe import NativeProfile, native_profile, why_not_for


def core():
    """Return the extension, or skip the test with what the build says about it."""
    if "native part" in native_profile().refused:
        pytest.skip(f"no native part: {native_profile().refused['native part']}")
    from proactor.engines.native import _core

    return _core


def test_the_probe_gives_a_profile_with_words_for_each_feature():
    core()

    found = native_profile()

    assert found.kernel == platform.release()
    assert found.profile in ("multishot", "basic", "none")
    assert found.features or found.profile == "none"
    assert found.refused or found.profile == "multishot"
    texts = {**found.features, **found.refused}
    assert len(texts) == len(found.features) + len(found.refused)
    assert all(len(text.split()) > 2 for text in texts.values())


@pytest.mark.parametrize(
    "release, profile, name",
    [
        ("5.10.0-28-amd64", "none", "io_uring"),
        ("6.1.0-18-amd64", "basic", "multishot"),
        ("6.7.12", "basic", "multishot"),
        ("6.12.5", "multishot", "incremental buffers"),
    ],
)
def test_an_older_kernel_is_refused_by_its_version(release, profile, name):
    found = core().probe(release)

    assert f"kernel {release} is older than" in found["refused"].get(name, "") or _forbidden(found)
    assert found["profile"] == profile or _forbidden(found)


def _forbidden(found):
    """Say whether this machine forbids io_uring altogether, as containers do."""
    return found["profile"] == "none" and "io_uring" in found["refused"]


FILTERED = """
import ctypes, dataclasses, json, platform, struct
from proactor.engines.native.probe import native_profile

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

# Load the number of the call; is it io_uring_setup, the answer is EPERM, else it is allowed.
code = b"".join(struct.pack("HBBI", *instruction) for instruction in [
    (0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "PR_SET_NO_NEW_PRIVS"
if libc.prctl(22, 2, ctypes.byref(Program(4, code)), 0, 0) != 0:
    print("null")
else:
    print(json.dumps(dataclasses.asdict(native_profile())))
"""


def test_under_a_seccomp_filter_the_reason_names_it_and_the_remedy():
    # Goal: what a user of a container reads. Method: a process with the filter of containers.
    if native_profile().profile == "none":
        pytest.skip(f"no io_uring here to be forbidden: {native_profile().refused}")

    run = subprocess.run([sys.executable, "-c", FILTERED], capture_output=True, text=True)

    assert run.stderr == ""
    found = json.loads(run.stdout)
    if found is None:
        pytest.skip("this system lets no process set a seccomp filter")
    assert found["profile"] == "none" and found["features"] == {}
    assert found["refused"]["io_uring"].startswith("EPERM: a seccomp filter forbids it")
    assert "proactor engine --seccomp" in found["refused"]["io_uring"]


@pytest.mark.parametrize(
    "system, machine, word",
    [
        ("win32", "AMD64", "Linux only"),
        ("darwin", "arm64", "Linux only"),
        ("linux", "riscv64", "riscv64"),
        ("linux", "", "unknown"),
    ],
)
def test_other_systems_are_told_why_there_is_none_for_them(system, machine, word):
    assert word in (why_not_for(system, machine) or "")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_linux_on_both_architectures_has_one(machine):
    assert why_not_for("linux", machine) is None


@pytest.fixture
def without_core(monkeypatch, tmp_path):
    """Make the extension impossible to import, and `tmp_path` the folder where it would be."""
    monkeypatch.setitem(sys.modules, "proactor.engines.native._core", None)
    monkeypatch.delattr("proactor.engines.native._core", raising=False)
    monkeypatch.setattr(probe, "__file__", str(tmp_path / "probe.py"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    return tmp_path


def test_where_it_was_not_built_the_note_of_the_build_is_the_reason(without_core):
    tag = sysconfig.get_config_var("SOABI")
    (without_core / f"not_built.{tag}.txt").write_text("there is no C compiler\n", encoding="utf-8")

    assert native_profile() == NativeProfile(
        "none", refused={"native part": "there is no C compiler"}
    )


def test_without_a_note_the_reason_names_the_remedy(without_core):
    assert "C compiler" in native_profile().refused["native part"]


def test_an_extension_that_cannot_be_loaded_is_told_apart_from_a_missing_one(without_core):
    tag = sysconfig.get_config_var("EXT_SUFFIX")
    (without_core / f"_core{tag}").write_bytes(b"no library")

    assert "cannot be loaded" in native_profile().refused["native part"]


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL"
)
def test_importing_it_leaves_the_gil_off():
    code = "from proactor.engines.native import _core; import sys; print(sys._is_gil_enabled())"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert run.stdout.strip() == "False"
