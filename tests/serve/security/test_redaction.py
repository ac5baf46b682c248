import json
import time

import pytest

from serve.security.redaction import redact, redact_json

TOKEN = "emend_0f3c_" + "aB3" * 12
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + "a1B2" * 9
PEM = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEow\nabc=\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"curl -H 'Authorization: Bearer {TOKEN}'", TOKEN),
        (f"key {TOKEN} was shown", TOKEN),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
        ("postgresql+psycopg://emend:hunter2@db:5432/emend", "hunter2"),
        (f"aws_id={AWS}", AWS),
        (f'token = "{GITHUB}"', GITHUB),
        ("https://x/y?api_key=abcdef123&n=1", "abcdef123"),
        ('db_password = "hunter2!"', "hunter2!"),
        ("{'client_secret': 'abcdefgh'}", "abcdefgh"),
        ("DB_PASSWORD=hunter22 make", "hunter22"),
        (f"a\n{PEM}\nb", "MIIEow"),
        ("xoxb-" + "123456789012-abcdefghijkl", "abcdefghijkl"),
        ("cookie: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0." + "c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("OPENAI sk-proj-" + "aB3_" * 10, "aB3_aB3_"),
        ("npm_" + "a1B2" * 9, "a1B2"),
        ("sk_live_" + "a1b2c3d4" * 3, "a1b2c3d4"),
    ],
)
def test_secrets_go(text, secret):
    found = redact(text)
    assert secret not in found
    assert "[redacted]" in found


@pytest.mark.parametrize(
    "text",
    [
        "token = lexer.next_token()",
        "def check(password, user):\n    return password == user.password\n",
        "see https://example.org/a:b@c",
        "secret = ''",
        "a bearer of news",
        'TOKEN = "abc"',
    ],
)
def test_code_stays(text):
    assert redact(text) == text


def test_json_stays_json():
    value = {"files": [{"path": "a.py", "text": f'x = 1\nkey = "{AWS}"\n{PEM}\n'}], "n": 3, "error": None}
    found = json.loads(redact_json(json.dumps(value)))
    assert (found["n"], found["error"], found["files"][0]["path"]) == (3, None, "a.py")
    assert AWS not in found["files"][0]["text"]
    assert "MIIE" not in found["files"][0]["text"]
    assert found["files"][0]["text"].startswith("x = 1\n")
    assert found["files"][0]["text"].count("\n") == value["files"][0]["text"].count("\n")


@pytest.mark.parametrize(
    "text",
    [word * 20_000 for word in ("abcdefgh", "=", "password", "http://", "_-A", "eyJ", "sk-", "eyJ.", "//:a@", "A_")],
)
def test_long_texts_take_little_time(text):
    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 20  # what reads a text again from every place takes minutes
