"""What the output of a whole run says about why nothing of it could pass: the network, a service, a build.

Pure reading of text that a stranger's program wrote: it decides on words for the report, never on what may be done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from repair.projects.values import Refusal, Standing

_SERVICES = {
    "5432": "PostgreSQL", "3306": "MySQL", "6379": "Redis", "27017": "MongoDB", "5672": "RabbitMQ", "9092": "Kafka",
    "9200": "Elasticsearch", "11211": "Memcached", "1433": "SQL Server", "1521": "Oracle", "2181": "ZooKeeper",
    "8500": "Consul", "9042": "Cassandra", "7687": "Neo4j",
}  # fmt: skip
_PORTS = "|".join(_SERVICES)
_PORT = re.compile(
    rf"(?:port[= ]+|\w:|\]:|', |\" ?port )({_PORTS})\b[^\n]{{0,200}}(?:refused|failed|unreachable|timed out|111)"
    rf"|(?:refused|failed|unreachable|ECONNREFUSED|Connect call failed|connect to)[^\n]{{0,200}}?"
    rf"(?::|port |, )({_PORTS})\b",
    re.IGNORECASE,
)
_SERVER = re.compile(
    r"could not connect to server|connection to server (?:at|on) [^\n]* failed|Can't connect to (?:local )?MySQL"
    r"|Error \d+ connecting to [^\n]*(?:6379|redis)|ServerSelectionTimeoutError|Cannot connect to the Docker daemon"
    r"|docker\.errors\.DockerException|/var/run/docker\.sock",
    re.IGNORECASE,
)
_DISPLAY = re.compile(
    r"no display name and no \$DISPLAY|cannot (?:open|connect to (?:X server|display))|couldn't connect to display"
    r"|could not connect to display|Missing X server or \$DISPLAY|No protocol specified\n"
    r"|could not load the Qt platform",
    re.IGNORECASE,
)
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname|getaddrinfo failed"
    r"|EAI_AGAIN|ENOTFOUND|Network is unreachable|ENETUNREACH|No route to host|NameResolutionError"
    r"|UnknownHostException|Could not resolve host|NewConnectionError",
)
_REMOTE = re.compile(r"(?:ConnectionRefusedError|ECONNREFUSED|Connection refused)[^\n]*")
_LOCAL = re.compile(r"127\.0\.0\.1|localhost|::1|0\.0\.0\.0")
_MODULE = re.compile(
    r"(?:ModuleNotFoundError|ImportError): (?:No module named '?([\w.]+)'?|cannot import name '(\w+)' from '([\w.]+)')"
)
_OBJECT = re.compile(r"ImportError: [^\n]*\.(?:so|pyd|dll)\b[^\n]*|ERR_DLOPEN_FAILED[^\n]*")
_COMPILED = re.compile(
    r"COMPILATION ERROR[^\n]*|Compilation failed[^\n]*|BUILD FAILURE[^\n]*"
    r"|error: command '[^']*(?:gcc|cc|clang)[^']*' failed[^\n]*"
    r"|fatal error: [\w/.]+\.h: No such file[^\n]*|error TS\d+: [^\n]*"
)
_LOCALE = re.compile(r"locale\.Error: unsupported locale setting")
_OFFLINE = re.compile(r"in offline mode[^\n]*|No cached version of [^\n]*|Cannot access \w+ \([^\n]*offline")
_POINTER = re.compile(r"version https://git-lfs\.github\.com/spec")
_CALLED = re.compile(rf"""["'][\w.-]*["'], ?({_PORTS})\)""")
_PERMISSION = re.compile(r"(?:PermissionError: [^\n]*|EACCES[^\n]*|[^\n]*: Permission denied)")
_BUILT = re.compile(r"^_|_(?:ext|c|cython|speedups|native|core|impl|lib|rust|version)$|^(?:version|lib|core)$|speedups")


def _nobody(_: str) -> bool:
    return False


def refused_by(
    output: str, *, own: Callable[[str], bool] = _nobody, absent: Iterable[str] = (), pointers: Iterable[str] = ()
) -> Refusal | None:
    """Why a run in which everything failed could not do otherwise, None when the code may be to blame.

    `own` says whether a dotted module name is one that the project has as a source or is to have built;
    `absent` are paths that the tree lacks (`Project.absent`), `pointers` files without their content, of which a
    failure may say no more than that they cannot be read: it is enough that it names one. Fit for one test too.
    """
    if refusal := _lacking(output, absent, pointers):
        return refusal
    if _LOCALE.search(output):
        reason = "its tests need a locale that is not installed here; install it (apt install locales-all, or the like)"
        return Refusal(Standing.NO_ENVIRONMENT, reason)
    service = _service(output)
    if service:
        reason = f"its tests need {service}, which nothing reaches from the sandbox; name tests without it with --test"
        return Refusal(Standing.NEEDS_SERVICE, reason)
    offline = _OFFLINE.search(output)
    if offline:
        reason = f"the build needs what is not at hand offline ({_short(offline[0])}); build it once with the network"
        return Refusal(Standing.NO_ENVIRONMENT, reason)
    network = _NETWORK.search(output) or _remote(output)
    if network:
        reason = (
            f"its tests need the network ({_short(network[0])}), which the sandbox has not; name others with --test"
        )
        return Refusal(Standing.NEEDS_NETWORK, reason)
    return _built(output, own) or _denied(output)


def _lacking(output: str, absent: Iterable[str], pointers: Iterable[str]) -> Refusal | None:
    """Whether a test asks for what the tree has not."""
    for path in pointers:
        name = re.escape(path.rpartition("/")[2])
        if _POINTER.search(output) or re.search(rf"(?<![\w.-]){name}(?![\w-])", output):
            reason = f"its tests need {path}, which is only an LFS pointer here; run `git lfs pull` in the checkout"
            return Refusal(Standing.UNREADABLE, reason)
    for path in absent:
        if re.search(rf"(?:No such file|ENOENT|not found|does not exist|NoSuchFile)[^\n]*{re.escape(path)}", output):
            reason = f"its tests need {path}, which is not here; run `git submodule update --init` or `git lfs pull`"
            return Refusal(Standing.UNREADABLE, reason)
    return None


def _service(output: str) -> str:
    port = _PORT.search(output)
    if port:
        return f"{_SERVICES[port[1] or port[2]]} (port {port[1] or port[2]})"
    if _DISPLAY.search(output):
        return "a display"
    called = _CALLED.search(output)
    if called and re.search(r"ConnectionRefusedError|Connection refused", output):
        return f"{_SERVICES[called[1]]} (port {called[1]})"
    server = _SERVER.search(output)
    return f"a service ({_short(server[0])})" if server else ""


def _remote(output: str) -> re.Match[str] | None:
    """A refused connection to somewhere else: one to this machine is perhaps the code's own server."""
    found = (one for one in _REMOTE.finditer(output) if not _LOCAL.search(one[0]))
    return next((one for one in found if re.search(r"\d+\.\d+\.\d+\.\d+|\w\.\w\w+[:/ ]", one[0])), None)


def _built(output: str, own: Callable[[str], bool]) -> Refusal | None:
    broken = _OBJECT.search(output) or _COMPILED.search(output)
    if broken:
        reason = f"the project does not build ({_short(broken[0])}); build it, or mend the build first"
        return Refusal(Standing.BROKEN_BUILD, reason)
    for found in _MODULE.finditer(output):
        module = found[1] or f"{found[3]}.{found[2]}"
        if own(module) and _BUILT.search(module.rpartition(".")[2]):
            reason = (
                f"{module} is made by building the project and is not there; give an interpreter with it (--python)"
            )
            return Refusal(Standing.BROKEN_BUILD, reason)
    return None


def _denied(output: str) -> Refusal | None:
    found = _PERMISSION.search(output)
    if found is None:
        return None
    reason = (
        f"its tests are denied what they need ({_short(found[0])}); name tests that stay in their folder with --test"
    )
    return Refusal(Standing.UNREADABLE, reason)


def _short(text: str) -> str:
    return " ".join(text.split())[:120]
