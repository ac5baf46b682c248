import os
import subprocess
import sys
from pathlib import Path

import pytest

from repair.errors import ModelError
from repair.models.chat import ChatModel
from repair.models.local import LocalModel
from repair.models.select import load_model


def test_none_is_no_model() -> None:
    assert load_model("none") is None


def test_a_directory_is_local(compact_directory: Path, plain_directory: Path) -> None:
    compact = load_model(str(compact_directory), device="cpu", threads=1)
    plain = load_model(str(plain_directory), device="cpu", threads=1)
    assert isinstance(compact, LocalModel)
    assert isinstance(plain, LocalModel)
    assert compact.compact
    assert not plain.compact
    assert compact.name == str(compact_directory)
    # before the libraries look: else a worker grows by half a gigabyte
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == os.environ["LRU_CACHE_CAPACITY"] == "64"


def test_an_address_is_a_server() -> None:
    model = load_model("http://127.0.0.1:9/v1#some/model")
    assert isinstance(model, ChatModel)
    assert model.name == "http://127.0.0.1:9/v1#some/model"
    with pytest.raises(ModelError, match="cannot be given an adapter"):
        load_model("https://host/v1#m", adapter="somewhere")


def test_choosing_no_model_imports_nothing_heavy() -> None:
    code = "import sys; from repair.models.select import load_model; load_model('none'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
