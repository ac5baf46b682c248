"""Files of serve/deploy: complete, well formed, and naming what exists."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from serve.settings import Settings, read_settings
from tests.serve.calls import check_call

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "serve" / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
UNIT = (DEPLOY / "emend.service").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
EXAMPLE = DEPLOY / "emend.example.toml"


def test_example_settings_are_the_defaults(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"EMEND_{name.upper()}", raising=False)
    assert read_settings(EXAMPLE) == Settings()


def test_example_names_every_setting():
    text = EXAMPLE.read_text()
    unset = re.findall(r"^#(\w+) = ", text, re.M)
    assert sorted([*tomllib.loads(text), *unset]) == sorted(Settings.model_fields)
    assert all(Settings.model_fields[name].default is None for name in unset)
    assert tomllib.loads(re.sub(r"^#(\w+ = )", r"\1", text, flags=re.M)).keys() == Settings.model_fields.keys()


def variables(text):
    return {name.lower() for name in re.findall(r"\bEMEND_([A-Z_]+)", text)} - {"memory", "published_port", "api_key"}


@pytest.mark.parametrize("path", [*sorted(p for p in DEPLOY.iterdir() if p.is_file()), ROOT / "docs" / "deployment.md"])
def test_variables_are_settings(path):
    assert variables(path.read_text()) <= set(Settings.model_fields)


def test_what_the_image_copies_exists():
    copied = re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.M)
    sources = [source for line in copied for source in line.split()[:-1]]
    assert sources
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in let_in
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(packages["packages"]) <= set(sources)
    stages = re.findall(r"^FROM \S+ AS (\w+)", CONTAINERFILE, re.M)
    assert set(re.findall(r"--from=(\w+)", CONTAINERFILE)) <= set(stages)


def test_image_is_small_unprivileged_and_watched():
    final = CONTAINERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001", final, re.M)
    assert "bubblewrap" in final
    assert "/readyz" in final
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.search(r"\.\[([\w,]+)\]", CONTAINERFILE)[1].split(",")) <= set(extras)


def test_the_health_check_is_python(tmp_path):
    words = re.search(r'CMD \["python", "-c", "(.*)"\]', CONTAINERFILE)[1]
    compile(words.replace('\\"', '"'), "healthcheck", "exec")


def test_compose_is_sound():
    services = COMPOSE["services"]
    assert set(services) == {"emend", "worker", "db", "vllm"}
    for service in services.values():
        for name in service.get("depends_on", {}):
            assert name in services
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
    build = services["emend"]["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()
    assert [p for p in services["emend"]["ports"] if not p.startswith("127.0.0.1:")] == []
    assert services["vllm"]["profiles"]
    needed = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text()))
    assert needed <= set(re.findall(r"^(\w+)=", (DEPLOY / "emend.example.env").read_text(), re.M))


def test_commands_of_image_compose_and_unit_exist():
    check_call(["emend", *yaml.safe_load(re.search(r"^CMD (.*)$", CONTAINERFILE, re.M)[1])])
    check_call(["emend", *COMPOSE["services"]["worker"]["command"]])
    words = shlex.split(re.search(r"^ExecStart=(.*)$", UNIT, re.M)[1])
    assert Path(words[0]).name == "emend"
    check_call(["emend", *words[1:]])


def test_unit_is_valid(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "emend.service"
    unit.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", UNIT, flags=re.M))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    told = [line for line in done.stderr.splitlines() if str(unit) in line or unit.name in line]
    assert (done.returncode, told) == (0, [])


def test_unit_grants_what_bubblewrap_calls():
    """Calls that `strace bwrap` shows beyond those of any program; systemd's groups name the others."""
    granted = set(" ".join(re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.M)).split())
    assert {"@system-service", "@mount", "sethostname", "seccomp"} <= granted
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= granted
    kinds = set(re.search(r"^RestrictNamespaces=(.*)$", UNIT, re.M)[1].split())
    assert kinds == {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}


def test_proxies_do_not_buffer_and_end_on_the_service():
    nginx, caddy = (DEPLOY / "nginx.conf").read_text(), (DEPLOY / "Caddyfile").read_text()
    assert nginx.count("{") == nginx.count("}")
    assert caddy.count("{") == caddy.count("}")
    assert "proxy_buffering off;" in nginx
    assert "flush_interval -1" in caddy
    port = Settings.model_fields["port"].default
    assert f"http://127.0.0.1:{port};" in nginx
    assert f"reverse_proxy 127.0.0.1:{port} " in caddy
    longest = Settings.model_fields["max_job_seconds"].default
    assert all(int(s) > longest for s in re.findall(r"read_timeout (\d+)s", nginx + caddy))
    assert "$proxy_add_x_forwarded_for" not in nginx


def test_files_that_the_docs_name_exist():
    text = (ROOT / "docs" / "deployment.md").read_text() + (ROOT / "docs" / "ci.md").read_text()
    for path in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "docs" / path).exists(), path
