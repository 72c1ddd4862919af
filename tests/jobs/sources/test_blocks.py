import gzip

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import NightmillError
from jobs.sources import blocks as module
from jobs.sources.blocks import blocks

TEXT = "eins\nzwei ñ\ndrei"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        gzip.compress(TEXT.encode()),
        pa.compress(TEXT.encode(), codec="zstd", asbytes=True),
    ],
    ids=["plain", "byte order mark", "gzip", "zstd"],
)
def test_lines_are_whole_whatever_they_are_wrapped_in(raw_file, data):
    assert b"".join(block.data for block in blocks(raw_file("a", data))).decode() == TEXT + "\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=st.text(st.sampled_from("añ€😀\n"), max_size=40), size=st.integers(1, 9))
def test_blocks_of_any_size_are_the_file_again_and_know_their_lines(raw_file, text, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", size)
        found = list(blocks(raw_file("a", text)))
    whole = text if text.endswith("\n") or not text else text + "\n"
    assert b"".join(block.data for block in found).decode() == whole
    assert [block.first for block in found] == [
        1 + sum(b.data.count(b"\n") for b in found[:n]) for n in range(len(found))
    ]


def test_text_that_is_not_utf8_is_named_with_its_line_byte_and_the_setting(raw_file):
    file = raw_file("a.csv", b"one\ntwo " + "é\n".encode("latin-1"))
    with pytest.raises(NightmillError, match=r"a\.csv:2 is not utf-8: byte 0xe9 at 8; .*source\.encoding"):
        list(blocks(file))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_other_encodings_are_read_when_they_are_named(raw_file, encoding):
    (block,) = blocks(raw_file("a.csv", "é\n\n".encode(encoding)), encoding)
    assert block.data.decode() == "é\n\n"


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst"])
def test_a_compressed_file_that_is_cut_off_is_named(raw_file, name):
    pack = gzip.compress if name.endswith("gz") else lambda b: pa.compress(b, codec="zstd", asbytes=True)
    data = pack(bytes(range(32, 127)) * 50)
    with pytest.raises(NightmillError, match=rf"{name} is damaged or cut off.*fetch the file again"):
        list(blocks(raw_file(name, data[:-9])))


def test_an_empty_file_has_no_block(raw_file):
    assert list(blocks(raw_file("a", b""))) == []
