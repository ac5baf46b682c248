"""The model process itself: real processes, the embedded model."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Client
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from repair.embedded.expander import embedded_adapter
from repair.errors import InputError, ModelError
from repair.model import Decoding, Model, Usage
from repair.models.chat import Patience, connect
from repair.views import Hunk, View
from serve.hosted import HostedModels, Question, send
from serve.loaded import Labelled, LocalModels
from serve.modelhost import ModelHost, start_host
from serve.settings import Settings

VIEW = View("a.py", "python", 1, ("def add(a, b):", "    return a - b"), error="AssertionError: 0 != 4")
CHANGES = [(Hunk(2, 2, "    return a + b"),), (Hunk(2, 2, "    return b"),)]
DECODING = Decoding({2: 1.0}, candidates=8)


def answers(model: Model | None, view: View = VIEW) -> tuple[object, ...]:
    assert model is not None
    return model.locate(view), model.score(view, CHANGES), list(model.propose(view, DECODING))


def views(count: int) -> list[View]:
    return [View("a.py", "python", 1, VIEW.lines, error=f"AssertionError: 0 != {n}") for n in range(count)]


def put_adapter(folder: Path, scale: float) -> Path:
    """The shipped adapter, its effect scaled."""
    shipped = embedded_adapter()
    assert shipped is not None
    folder.mkdir(parents=True, exist_ok=True)
    weights = load_file(shipped / "adapter_model.safetensors")
    changed = {n: t * scale if ".lora_B." in n else t for n, t in weights.items()}
    save_file(changed, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text((shipped / "adapter_config.json").read_text())
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("adapters")
    return Settings(adapters_dir=folder, models={"nothing": "none", "broken": str(folder / "no-model")})


@pytest.fixture(scope="module")
def host(settings: Settings) -> Iterator[ModelHost]:
    started = start_host(settings)
    yield started
    started.stop()


@pytest.fixture
def hosted(settings: Settings, host: ModelHost) -> Iterator[HostedModels]:
    models = HostedModels(settings, host.address, host.secret)
    yield models
    models.close()


def test_answers_are_those_of_the_model_loaded_here(settings: Settings, hosted: HostedModels) -> None:
    local = LocalModels(settings)
    there, here = hosted.get(), local.get("default")
    assert there is not None
    assert here is not None
    assert there.name == here.name == "embedded"
    belief, scores, found = answers(there)
    expected = answers(here)
    assert (belief, found) == (expected[0], expected[2])
    assert scores == pytest.approx(expected[1])
    assert "return a + b" in found[0].text
    assert there.usage == here.usage != Usage()
    assert hosted.get("nothing") is None
    assert local.listed() == hosted.listed()
    assert 0 < hosted.ready(90.0) < 90.0


@pytest.mark.parametrize("how", [{"beams": 3}, {"samples": 1.0, "temperature": 1.5, "top_p": 0.3}])
def test_every_setting_of_decoding_reaches_the_process(
    settings: Settings, hosted: HostedModels, how: dict[str, float]
) -> None:
    there, here = hosted.get(), LocalModels(settings).get("default")
    assert there is not None
    assert here is not None
    wanted = replace(DECODING, **how)
    found = list(there.propose(VIEW, wanted))
    assert found == list(here.propose(VIEW, wanted))
    assert found != list(here.propose(VIEW, replace(wanted, beams=0, top_p=1.0)))


def test_the_socket_is_private_and_the_secret_in_no_argument(host: ModelHost) -> None:
    assert stat.S_IMODE(Path(host.address).parent.stat().st_mode) == 0o700
    arguments = Path(f"/proc/{host.pid}/cmdline").read_bytes()
    assert host.secret.hex().encode() not in arguments + Path(f"/proc/{host.pid}/environ").read_bytes()


def test_another_secret_is_refused(settings: Settings, host: ModelHost) -> None:
    models = HostedModels(settings, host.address, b"guessed", patience=0.0)
    with pytest.raises(ModelError, match="refused the secret"):
        answers(models.get())


def test_only_the_types_of_the_protocol_are_read(settings: Settings, host: ModelHost, hosted: HostedModels) -> None:
    with Client(host.address, "AF_UNIX", authkey=host.secret) as wire:
        wire.send(Path("/etc/passwd"))
        with pytest.raises(EOFError):
            wire.recv()
    assert hosted.ready(90.0) > 0


@pytest.mark.parametrize("source", ["hosted", "local"])
def test_names_are_never_paths(source: str, settings: Settings, hosted: HostedModels, tmp_path: Path) -> None:
    models = hosted if source == "hosted" else LocalModels(settings)
    assert settings.adapters_dir is not None
    put_adapter(settings.adapters_dir / "known", 1.0)
    outside = put_adapter(tmp_path / "outside", 1.0)
    for wrong in (str(outside), f"../{outside.name}", "", "."):
        with pytest.raises(InputError, match="leave it out, or name known") as refused:
            models.get(None, wrong)
        assert refused.value.field == "options.adapter"
    with pytest.raises(InputError, match="name default, broken or nothing") as refused:
        models.get("/etc/passwd")
    assert refused.value.field == "options.model"
    with pytest.raises(InputError, match="has no adapters"):
        models.get("nothing", "known")


def test_what_cannot_be_loaded_fails_its_caller_without_telling_paths(settings: Settings, hosted: HostedModels) -> None:
    with pytest.raises(ModelError) as failed:
        answers(hosted.get("broken"))
    assert str(settings.adapters_dir) not in str(failed.value)
    assert hosted.ready(90.0) > 0


def test_an_adapter_that_is_put_there_later_is_used_and_loaded_again_when_it_changes(
    settings: Settings, hosted: HostedModels
) -> None:
    assert settings.adapters_dir is not None
    put_adapter(settings.adapters_dir / "late", 1.0)
    model = hosted.get(None, "late")
    assert model is not None
    assert model.name == "embedded+late"
    assert "late" in hosted.listed()[0].adapters
    as_shipped = answers(hosted.get())
    assert answers(model) == as_shipped
    put_adapter(settings.adapters_dir / "late", -4.0)
    assert answers(model)[1] != as_shipped[1]
    assert answers(hosted.get()) == as_shipped


def test_many_clients_get_their_own_answers(settings: Settings, hosted: HostedModels) -> None:
    here = LocalModels(settings).get()
    expected = [answers(here, view) for view in views(12)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda view: answers(hosted.get(), view), views(12)))
    assert [f[2] for f in found] == [e[2] for e in expected]
    assert [f[1] for f in found] == [pytest.approx(e[1]) for e in expected]


def test_a_killed_process_is_replaced_at_the_same_address_and_clients_notice_nothing(
    settings: Settings, host: ModelHost, hosted: HostedModels
) -> None:
    model = hosted.get()
    expected = answers(model)
    address, secret, first = host.address, host.secret, host.pid
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while host.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not host.alive
    with pytest.raises(ModelError, match="does not answer"):
        hosted.ready(1.0)
    restarting = threading.Thread(target=host.restart)
    restarting.start()
    assert answers(model) == expected  # waits until it is there again
    restarting.join()
    assert host.alive
    assert (host.address, host.secret) == (address, secret)
    assert host.pid != first
    os.kill(host.pid, signal.SIGKILL)
    impatient = HostedModels(settings, host.address, host.secret, patience=0.1)
    with pytest.raises(ModelError, match="does not answer"):
        answers(impatient.get())
    host.restart()


LINES = tuple(f"    total = total + values[{n}] * weights[{n}]" for n in range(12))
ALL = dict.fromkeys(range(1, 13), 1 / 12)


def refused(hosted: HostedModels, calls: int) -> bool:
    """Whether a small question is refused now because so many are answered."""
    model = hosted.get()
    assert model is not None
    try:
        model.locate(VIEW)
    except ModelError as error:
        assert f"busy with {calls} calls" in str(error)
        return True
    return False


def test_more_calls_than_may_wait_are_refused_and_a_stop_lets_the_others_end() -> None:
    settings = Settings(workers=1, waiting=1)
    host = start_host(settings)
    hosted = HostedModels(settings, host.address, host.secret, patience=0.0)

    def ask(number: int) -> int:
        model = hosted.get()
        assert model is not None
        while True:
            try:
                view = View("a.py", "python", 1, LINES, error=f"error {number}")
                return len(list(model.propose(view, Decoding(ALL, candidates=150))))
            except ModelError as error:  # a small question was there before
                assert "busy with 2 calls" in str(error)

    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(ask, number) for number in range(2)]
        while not refused(hosted, 2):
            for number, one in enumerate(running):
                if one.done():  # we were too slow to see it: once more
                    assert one.result() > 100
                    running[number] = threads.submit(ask, number)
        stopped = threads.submit(host.stop, 100.0)
        assert all(one.result() > 100 for one in running)
        stopped.result()
    assert not host.alive
    assert not Path(host.address).parent.exists()


def test_what_a_caller_asked_who_left_is_given_up() -> None:
    settings = Settings(workers=1, waiting=0)
    host = start_host(settings)
    hosted = HostedModels(settings, host.address, host.secret)
    decoding = Decoding(ALL, candidates=20_000)  # of a minute
    deadline = time.monotonic() + 60
    with Client(host.address, "AF_UNIX", authkey=host.secret) as wire:
        while True:
            send(wire, Question("propose", view=View("a.py", "python", 1, LINES), decoding=decoding))
            while not (busy := refused(hosted, 1)) and not wire.poll(0.01):
                assert time.monotonic() < deadline
            if busy:
                break
            wire.recv_bytes()  # a small question was there before: once more
    deadline = time.monotonic() + 20
    while refused(hosted, 1):
        assert time.monotonic() < deadline, "it is not given up"
        time.sleep(0.02)
    assert answers(hosted.get())
    host.stop()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom serve.modelhost import start_host\nfrom serve.settings import Settings\n"
        "host = start_host(Settings(model='none'))\nprint(host.pid, flush=True)\ntime.sleep(600)\n"
    )
    root = Path(__file__).resolve().parents[2]
    starter = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    starter.kill()
    starter.wait()
    starter.stdout.close()
    deadline = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_default_model_that_cannot_be_loaded_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        start_host(Settings(model=str(tmp_path)))


def test_clients_need_no_torch() -> None:
    script = "import sys, json, serve.hosted, serve.modelhost, serve.loaded\nprint(json.dumps('torch' in sys.modules))"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False


def test_a_model_server_that_is_down_is_told_without_its_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]  # nobody listens there afterwards
    settings = Settings(model=f"http://127.0.0.1:{port}/v1#big")
    models = HostedModels(settings, "/nowhere", b"secret")
    with pytest.raises(ModelError, match="the server of the model big") as down:
        models.ready(2.0)
    assert str(port) not in str(down.value)
    with pytest.raises(ModelError, match=r"^big: cannot be reached") as failed:
        once = connect(f"http://127.0.0.1:{port}/v1#big", patience=Patience(attempts=1))
        list(Labelled("big", once).propose(View("a.py", "python", 1, ("x = 1",)), Decoding({1: 1.0})))
    assert str(port) not in str(failed.value)
