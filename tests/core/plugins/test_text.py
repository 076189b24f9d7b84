"""What is cut from a reply can be spoken at once, and nothing of it is lost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sipcore.plugins.text import SentenceSplitter, for_speech, sentences

VOCABULARY = """
open Mr. Smith a.m. p.m. Monday 9 3.50 e.g. No. 5 J. etc. yes, well; so: — - ... … ! ? 。 你好， 再见。” “Stop.”
(really?!) **bold** 1. # www.example.com don't St. ü ß 5 p.m Mon
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n", "\n\n", "\t"])
PROSE = st.lists(WORDS, max_size=60).map(" ".join)
TEXT = st.one_of(PROSE, st.text(max_size=400), st.text(alphabet=".!? \"')aA1,\n。", max_size=120))


def cut(text: str, *, first_clause: bool = False, **options: int) -> list[str]:
    splitter = SentenceSplitter(first_clause=first_clause, **options)
    return [*splitter.feed(text), *splitter.flush()]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("We are open. Come by!", ["We are open.", "Come by!"]),
        ("Really? Yes! Fine.", ["Really?", "Yes!", "Fine."]),
        ("Ask Mr. Smith or Dr. Jones. They know.", ["Ask Mr. Smith or Dr. Jones.", "They know."]),
        ("Take fruit, e.g. Apples, i.e. Food. Good.", ["Take fruit, e.g. Apples, i.e. Food.", "Good."]),
        ("By J. R. R. Tolkien. A book.", ["By J. R. R. Tolkien.", "A book."]),
        ("Room No. 5 is free. No. We are full.", ["Room No. 5 is free.", "No.", "We are full."]),
        ("From 9 a.m. to 5 p.m. Monday to Friday. Bye.", ["From 9 a.m. to 5 p.m. Monday to Friday.", "Bye."]),
        ("We close at 5 p.m. We open at 9 a.m. again.", ["We close at 5 p.m.", "We open at 9 a.m. again."]),
        ("We close at 5pm. Good night.", ["We close at 5pm.", "Good night."]),
        ("Until 5 p.m. At six.", ["Until 5 p.m.", "At six."]),
        ("It costs 3.50 today. It was 2.", ["It costs 3.50 today.", "It was 2."]),
        ("See www.example.com. Then call.", ["See www.example.com.", "Then call."]),
        ("Well... maybe. Hm... Yes.", ["Well... maybe.", "Hm...", "Yes."]),
        ("Well… maybe… Yes.", ["Well… maybe…", "Yes."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("“Stop!” he said. (Really?!) Yes.", ["“Stop!” he said.", "(Really?!)", "Yes."]),
        ("**Note.** It is *big.* Ok", ["**Note.**", "It is *big.*", "Ok"]),
        ("1. Milk is white.\n2. Eggs.\nDone", ["1. Milk is white.", "2. Eggs.", "Done"]),
        ("We have:\n- chairs\n- tables\n\nCall us", ["We have:", "- chairs", "- tables", "Call us"]),
        ("今天天气很好。你好！“再见。”他说。", ["今天天气很好。", "你好！", "“再见。”", "他说。"]),
        ("¿Qué tal? ¡Bien! Ёлка. Дом.", ["¿Qué tal?", "¡Bien!", "Ёлка.", "Дом."]),
        ("यह ठीक है। धन्यवाद।", ["यह ठीक है।", "धन्यवाद।"]),
        ("one.two three. four", ["one.two three. four"]),
        (" \n\n ", []),
        ("", []),
        ("...", ["..."]),
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_where_a_reader_would_pause(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("We are open from nine, and closed at night.", "We are open from nine,"),
        ("Yes, of course we are open, come by.", "Yes, of course we are open,"),
        ("Sure. We are open today, come by.", "Sure."),
        ("That costs exactly 1,000 dollars, no more.", "That costs exactly 1,000 dollars,"),
        ("We meet on November 23, 2026, at noon.", "We meet on November 23, 2026,"),
        ("We are open today — come by.", "We are open today —"),
        ("We are open today - come by.", "We are open today -"),
        ("A well-known shop sells chairs.", "A well-known shop sells chairs."),
        ("We are here: come in.", "We are here:"),
        ("今天天气很好，我们去公园吧。", "今天天气很好，"),
        ("We are open,daily. Bye.", "We are open,daily."),
    ],
)
def test_the_first_piece_may_be_a_clause(text: str, first: str) -> None:
    pieces = cut(text, first_clause=True)
    assert pieces[0] == first
    assert cut("".join(pieces[1:]) + " It is late, so go home.")[-1] == "It is late, so go home."


def test_a_clause_of_too_few_words_waits_for_more() -> None:
    text = "Yes, we are open, come by."
    assert cut(text, first_clause=True, first_words=1)[0] == "Yes,"
    assert cut(text, first_clause=True, first_words=5)[0] == text


def test_a_piece_comes_out_with_the_first_letter_after_it() -> None:
    splitter = SentenceSplitter()
    assert splitter.feed("We are open.") == []
    assert splitter.feed(" ") == []
    assert splitter.feed("C") == ["We are open."]
    assert splitter.feed("ome by.\n") == []
    assert splitter.feed("Y") == ["Come by."]
    assert splitter.flush() == ["Y"]


def test_an_overlong_sentence_is_cut_at_a_clause_or_between_words() -> None:
    words = "one two three four five six seven eight nine ten, eleven twelve thirteen fourteen fifteen"
    assert cut(words, max_length=60) == ["one two three four five six seven eight nine ten,", words[50:]]
    assert cut(words.replace(",", ""), max_length=50)[0] == "one two three four five six seven eight nine ten"
    assert cut("x" * 25, max_length=10) == ["x" * 10, "x" * 10, "x" * 5]


def test_a_splitter_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length 0"):
        SentenceSplitter(max_length=0)
    with pytest.raises(ValueError, match="first_words 0"):
        SentenceSplitter(first_words=0)


@given(TEXT, st.booleans(), st.integers(1, 80))
def test_no_character_is_lost_or_moved(text: str, first_clause: bool, max_length: int) -> None:
    pieces = cut(text, first_clause=first_clause, max_length=max_length)
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece and piece == piece.strip() and len(piece) <= max_length for piece in pieces)


@given(PROSE)
def test_no_word_is_broken(text: str) -> None:
    western = re.sub("[。，“”你好再见]", "", text)
    assert " ".join(cut(western, first_clause=True)).split() == western.split()


@given(TEXT, st.lists(st.integers(0, 400), max_size=30), st.booleans(), st.integers(1, 80))
def test_the_pieces_do_not_depend_on_the_deltas(
    text: str, marks: list[int], first_clause: bool, max_length: int
) -> None:
    splitter = SentenceSplitter(first_clause=first_clause, max_length=max_length)
    pieces: list[str] = []
    at = 0
    for mark in [*sorted(marks), len(text)]:
        pieces += splitter.feed(text[at:mark])
        at = max(at, mark)
    pieces += splitter.flush()
    assert pieces == cut(text, first_clause=first_clause, max_length=max_length)
    assert pieces == letter_by_letter(text, first_clause=first_clause, max_length=max_length)


def letter_by_letter(text: str, *, first_clause: bool, max_length: int) -> list[str]:
    splitter = SentenceSplitter(first_clause=first_clause, max_length=max_length)
    pieces = [piece for letter in text for piece in splitter.feed(letter)]
    return pieces + splitter.flush()


async def stream(deltas: Sequence[str]) -> AsyncIterator[str]:
    for delta in deltas:
        yield delta


@pytest.mark.anyio
async def test_a_stream_is_cut_as_it_comes() -> None:
    heard: list[str] = []

    async def deltas() -> AsyncIterator[str]:
        for delta in ["We are ", "open. ", "Come by"]:
            yield delta
        assert heard == ["We are open."]
        yield ", please"

    async for piece in sentences(deltas()):
        heard.append(piece)
    assert heard == ["We are open.", "Come by, please"]
    assert [piece async for piece in sentences(stream(["a b c, d"]), first_words=3)] == ["a b c,", "d"]
    assert [piece async for piece in sentences(stream(["a b c, d"]), first_clause=False)] == ["a b c, d"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**We** are *very* _open_, __really__ ~~not~~ `now`.", "We are very open, really not now."),
        ("## Opening hours\n> Monday", "Opening hours\nMonday"),
        ("- chairs\n* tables\n+ desks\n• beds\n- [x] done", "chairs\ntables\ndesks\nbeds\ndone"),
        ("1. Milk\n2. Eggs", "1. Milk\n2. Eggs"),
        ("```python\nprint(1)\n```\nThat is it.", "print(1)\nThat is it."),
        ('See [our page](https://example.com/a_(b) "t") or ![a map](m.png).', "See our page or a map."),
        ("Go to https://www.example.com/x or <http://example.org>.", "Go to example.com/x or example.org."),
        ("Hello 😀! Thumbs up 👍🏽👨‍👩‍👧 ☎️ 🇩🇪 1️⃣ → there", "Hello! Thumbs up 1 there"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "a, b\n1, 2"),
        ("one\n---\ntwo\n* * *\nthree", "one\ntwo\nthree"),
        ("a<br>b <b>c</b>", "a b c"),
        ("2 * 3 = 6, 5*3, a_b_c, 20 °C, €5, 3 < 4 > 1", "2 * 3 = 6, 5*3, a_b_c, 20 °C, €5, 3 < 4 > 1"),
        ("**Half a piece", "Half a piece"),
        ("", ""),
        ("😀", ""),
        ("***", ""),
    ],
)
def test_what_is_not_said_is_taken_out(text: str, said: str) -> None:
    assert for_speech(text) == said


@given(TEXT)
def test_any_text_can_be_made_speakable(text: str) -> None:
    said = for_speech(text)
    assert said == said.strip()
    assert not re.search("[\U0001f600-\U0001f64f`]", said)


@given(st.lists(st.from_regex(r"[A-Za-zäöüß]+", fullmatch=True)).map(" ".join))
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert for_speech(text) == text
