"""The face of the generator in C: what it does not survive, it refuses."""

from __future__ import annotations

import socket
import sysconfig

import pytest

from proactor.load import LoadPlan, generator
from tests.load.servers import MessageServer

native = generator._native_class()[0]
needs_native = pytest.mark.skipif(native is None, reason="the generator in C was not built")


def opened_load(port: int, **plan):
    options = generator._options(LoadPlan(port, connections=2, size=16, **plan))
    return native(socket.AF_INET, ("127.0.0.1", port), options)


@needs_native
def test_a_load_that_runs_in_another_thread_refuses_every_call(opened, in_thread):
    server = opened(MessageServer(16))
    load = opened_load(server.port, duration=3600.0, warmup=0)
    assert load.run(int(5e9)) == generator.Phase.MEASURE

    running = in_thread(load.run, int(2e9))
    with pytest.raises(RuntimeError, match="in another thread"):
        while running.is_running():
            load.counts()  # Allowed until that thread has begun.
    with pytest.raises(RuntimeError, match="in another thread"):
        load.close()

    running.result()
    load.close()
    load.close()
    with pytest.raises(ValueError, match="closed"):
        load.counts()


@needs_native
def test_a_load_that_is_dropped_closes_its_connections(opened):
    server = opened(MessageServer(16))
    load = opened_load(server.port, warmup=0)
    assert load.run(int(5e9)) == generator.Phase.MEASURE

    del load

    for thread in server.threads:
        thread.join(5)
        assert not thread.is_alive()


def test_without_the_extension_the_note_of_the_build_is_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(generator, "__file__", str(tmp_path / "generator.py"))
    error = ImportError("no such module")

    assert "install the package where there is a C compiler" in generator._why_not_built(error)

    note = tmp_path / f"not_built.{sysconfig.get_config_var('SOABI')}.txt"
    note.write_text("there is no C compiler\n", encoding="utf-8")

    assert generator._why_not_built(error) == "there is no C compiler"

    note.unlink()
    (tmp_path / f"_generator{sysconfig.get_config_var('EXT_SUFFIX')}").touch()

    assert generator._why_not_built(error) == "the one in C cannot be loaded: no such module"
