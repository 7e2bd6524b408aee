"""Digests: of the value alone, in every process."""

import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apc_bench.files.hashing import digest, file_sha256

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=5), st.randoms(use_true_random=False))
def test_a_digest_depends_on_the_value_and_not_on_the_order_of_its_names(value, random):
    names = list(value)
    random.shuffle(names)
    assert digest({name: value[name] for name in names}) == digest(json.loads(json.dumps(value)))
    assert digest({**value, "one more name": 1}) != digest(value) or "one more name" in value


def test_a_digest_is_the_same_in_every_process():
    code = (
        "from apc_bench.files.hashing import digest; print(digest({'b': [1, 2.5, None], 'a': 'é'}))"
    )
    got = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert got == {digest({"a": "é", "b": [1, 2.5, None]})} == {"84afbf1d4853005f"}


def test_what_json_cannot_say_has_no_digest():
    with pytest.raises(ValueError, match="JSON compliant"):
        digest(float("nan"))
    with pytest.raises(TypeError):
        digest({"path": object()})


def test_a_file_is_summed_whole(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
