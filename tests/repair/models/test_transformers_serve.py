"""The chat client against `transformers serve`, a server that we did not write. Needs its extra `openai`."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from transformers import AutoTokenizer

from repair.model import Decoding
from repair.models.chat import connect
from repair.views import View
from tests.repair.models.test_chat import free_port

pytest.importorskip("openai", reason="transformers serve needs it")


def test_a_served_checkpoint_answers(plain_directory: Path, tmp_path: Path, view: View) -> None:
    tokenizer = AutoTokenizer.from_pretrained(plain_directory)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    for file in plain_directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tokenizer.save_pretrained(tmp_path)
    port = free_port()
    command = [Path(sys.executable).with_name("transformers"), "serve", tmp_path, "--port", str(port)]
    environment = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except httpx.TransportError:
                assert process.poll() is None
                time.sleep(0.2)
        model = connect(f"http://127.0.0.1:{port}/v1#{tmp_path}")
        completions = list(model.propose(view, Decoding(candidates=2, max_tokens=16)))
    finally:
        process.terminate()
        process.wait(20)
    assert completions
    assert all(c.tokens > 0 for c in completions)
    assert model.usage.prompt_tokens > 200
