"""Packing against a loop, the split, and files of every kind, good and bad."""

import bz2
import zipfile

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.interpret import memorization_text as texts

DUMP = """<mediawiki><page><text xml:space="preserve">#REDIRECT [[Elsewhere]]</text></page><page>
<text>{{Infobox|a={{b}}}} '''Bread''' is [[food|a food]] of [[flour]].&lt;ref name=x&gt;no&lt;/ref&gt;
[[File:a.jpg|a [[b]] c]]
{| class=t
| cell || cell
|} It &amp;nbsp; rises.</text></page></mediawiki>"""


def test_words_are_packed_whole_with_their_space_and_target():
    packed = texts.pack(["ab", "c", "toolongtofit", "def", "z"], {"ab": 2, "def": 3}, 7)
    assert packed.characters.tolist() == [[1, 2, 3, 1, 4, 0, 0], [1, 5, 6, 7, 1, 27, 0]]
    assert packed.words.tolist() == [[2, 2, 2, 1, 1, 0, 0], [3, 3, 3, 3, 1, 1, 0]]


def test_markup_goes_and_words_stay():
    assert [texts.clean(a) for a in texts.articles(DUMP)] == ["bread is a food of flour it rises"]


def many(count=400):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(["tea", "milk", "sugar", "cup"], 40)) + f" doc{'x' * (i % 7)}" for i in range(count)]


def test_documents_are_in_one_part_each_and_stay_there():
    corpus = texts.corpus(many(), 30, 3)
    assert corpus.vocabulary[:2] == ("", "?") and len(corpus.vocabulary) == 5
    sizes = [len(part.characters) for part in corpus[:3]]
    assert sizes[0] > 5 * sizes[1] > 0 and sizes[2] > 0
    longer = texts.corpus([*many(), *("other " * 50 + str(i) for i in range(5))], 30, 3)
    assert all((longer.test.characters == row).all(1).any() for row in corpus.test.characters)
    with pytest.raises(UserError, match="expected at least 20 of 30 characters"):
        texts.corpus(many(20), 30, 3)


def test_files_of_every_kind_give_the_same(tmp_path):
    plain, packed, wheel = tmp_path / "a.xml", tmp_path / "a.xml.bz2", tmp_path / "gensim.whl"
    plain.write_text(DUMP)
    packed.write_bytes(bz2.compress(DUMP.encode()))
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(texts.SHARD, packed.read_bytes())
    assert texts.read_text(plain) == texts.read_text(packed) == texts.read_text(wheel)
    plain.write_text("Tea, MILK\n" * 1_500)
    assert [len(d.split()) for d in texts.read_text(plain)] == [100] * 30
    assert [len(d.split()) for d in texts.documents_of("tea " * 201_000)] == [2_000] * 100 + [1_000]
    for bad in (plain, wheel):  # the claims take one text alone
        with pytest.raises(UserError, match="another text"):
            texts.read_wikipedia(bad)


def test_what_is_no_text_is_refused(tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    picture.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(UserError, match="is not text"):
        texts.read_text(picture)
    picture.write_bytes(bz2.compress(b"text")[:-5])
    with pytest.raises(UserError, match="ends too early"):
        texts.read_text(picture)
    with pytest.raises(UserError, match="could not be read"):
        texts.read_text(tmp_path / "absent.txt")
    with pytest.raises(UserError, match="could not be read"):
        texts.read_text(tmp_path)
    monkeypatch.setattr(texts, "LARGEST", 1_000)
    picture.write_bytes(bz2.compress(b"a bomb " * 1_000))
    with pytest.raises(UserError, match="more than 1,000 bytes"):
        texts.read_text(picture)
    monkeypatch.setattr(texts, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[text\]'"):
        texts.wikipedia()


def test_a_short_plain_text_has_something_in_every_part(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "notes.txt"
    path.write_text(" ".join(rng.choice(["surveyor", "angle", "level", "plumb", "chain"], 15_000)))
    found = texts.corpus(texts.read_text(path), 100, 20)
    assert min(len(part.characters) for part in (found.train, found.validation, found.test)) >= 20
