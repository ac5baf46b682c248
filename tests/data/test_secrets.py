"""Secrets: planted credentials are found by type and never repeated, ordinary code passes."""

import base64
import random

import pytest

from data.records import Origin, Record
from data.secrets import secret_type, without_secrets
from data.steps import Rejection

AWS = "AKIA" + "IOSFODNN7QZXWVUT"
TOKEN = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"


def record(line):
    return Record("python", f"def f():\n    {line}\n    return 1\n", "def f():\n    return 2\n", Origin.COMMIT)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f'key = "{AWS}"', "AWS Access Key"),
        (f'token = "{TOKEN}"', "GitHub Token"),
        ('url = "https://bob:hunter2pass@example.org/"', "Basic Auth Credentials"),
        (f'k = "{base64.b64encode(random.Random(5).randbytes(48)).decode()}"', "Base64 High Entropy String"),
        ('text = "-----BEGIN RSA PRIVATE KEY-----"', "Private Key"),
    ],
)
def test_planted_secrets_are_rejected_without_repeating_them(line, kind):
    outcome = without_secrets(record(line))
    assert isinstance(outcome, Rejection)
    assert outcome.reason == f"secret: {kind}"
    assert secret_type(line) == kind
    assert not any(word in outcome.reason for word in (AWS, TOKEN, "hunter2"))


@pytest.mark.parametrize(
    "line",
    [
        'password = os.environ["PASSWORD"]',
        'alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"',
        'path = "usr/share/common_licenses/apache_two"',
        "mask = 0xdeadbeef",
        'name = "12345678-1234-5678-1234-567812345678"',
    ],
)
def test_ordinary_lines_pass(line):
    assert without_secrets(record(line)) == record(line)


def test_context_and_messages_are_looked_at_too():
    made = Record("python", "x = 1\n", "x = 2\n", Origin.COMMIT, message=f"Drop {AWS}", context=())
    assert isinstance(without_secrets(made), Rejection)
