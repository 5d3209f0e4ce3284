"""Text that is not ours is shown word for word, bounded, whatever it holds."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.plain_text import code, markup, plain, plain_sentence, shortened, visible

NASTY = st.text(
    st.one_of(
        st.sampled_from("`\\[]()!<>:*_~$|#&;@.-=+ \n\r\t/{}www"),
        st.sampled_from(["\u202e", "\x1b", "\ud800", "\u0301", "\u2028", "\ufeff", "é", "語"]),
        st.characters(),
    ),
    max_size=40,
)


def test_an_address_that_escapes_do_not_hold_is_set_as_code() -> None:
    assert plain("see https://evil.example/x now") == "see `https://evil.example/x` now"
    assert plain("www.evil.example") == "`www.evil.example`"
    assert plain("mail a@b.example") == "mail `a@b.example`"
    assert plain(":smile: :material_bolt: a -> b") == "`:smile:` `:material_bolt:` a `->` b"


def test_an_icon_is_parted_where_even_code_would_be_rewritten() -> None:
    assert plain("a :material/bolt:") == "a `:material`\\/`bolt:`"
    assert ":material/" not in code(":material/:material/")


def test_ordinary_keys_keep_their_look() -> None:
    assert plain("layer1.0.conv1") == "layer1.0.conv1"
    assert plain("resnet50-0676ba61") == "resnet50-0676ba61"
    assert plain("running_mean") == "running_mean"
    assert plain("a__b_2_é") == "a__b_2_é"
    assert plain("_a_ b_ _c") == "\\_a\\_ b\\_ \\_c"


def test_a_line_begins_no_list_and_no_heading() -> None:
    assert plain("1. one") == "1\\. one"
    assert plain("2.3.1") == "2.3.1"
    assert plain("- one") == "\\- one"
    assert plain("=====") == "\\====="
    assert plain("    four") == "&#32;&#32;&#32;&#32;four"


def test_keys_in_a_sentence_stay_code_and_a_backtick_in_one_does_not_break_out() -> None:
    assert plain_sentence("Drops `fc.*`, adds [x].") == "Drops `fc.*`, adds \\[x\\]."
    assert (
        plain_sentence("Drops `a`[x](https://e.example)`b`.") == "Drops `a[x](https://e.example)b`."
    )


def test_code_next_to_code_is_one() -> None:
    assert plain_sentence("`a`https://x.example") == "`ahttps://x.example`"


def test_code_holds_backticks_and_spaces() -> None:
    assert code("a`b") == "``a`b``"
    assert code("`a") == "`` `a ``"
    assert code("") == ""


def test_control_characters_are_written_out() -> None:
    assert visible("a\nb\x1b[2J\u202e\ud800") == "a\\nb\\x1b[2J\\u202e\\ud800"


def test_a_pile_of_marks_is_written_out() -> None:
    piled = visible("a" + "\u0301" * 50)
    assert sum(map(unicodedata.combining, piled)) <= 4 * 230
    assert visible("a\u0301\u0302") == "a\u0301\u0302"


@pytest.mark.parametrize("show", [visible, plain, code, markup])
def test_a_long_text_is_cut_in_the_middle_and_says_how_much_is_left_out(show) -> None:  # type: ignore[no-untyped-def]
    text = "start" + "x" * 100_000 + "end"
    shown = show(text)
    assert len(shown) < 600
    assert "start" in shown
    assert "end" in shown
    assert "99\u202f708 characters left out" in shown


def test_a_short_text_is_not_cut() -> None:
    assert shortened("x" * 300) == "x" * 300


def test_each_key_of_a_sentence_is_cut_by_itself() -> None:
    said = plain_sentence(f"Drops `{'k' * 5000}` and `{'q' * 5000}`.")
    assert said.startswith("Drops `kkk")
    assert said.endswith("qqq`.")
    assert len(said) < 800


def test_markup_is_escaped_html() -> None:
    assert markup('<a href="x">&') == "&lt;a href=&quot;x&quot;&gt;&amp;"


@given(NASTY)
def test_any_text_is_one_line_that_protobuf_takes(text: str) -> None:
    for show in (visible, plain, code, plain_sentence, markup):
        shown = show(text)
        shown.encode()
        assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029]", shown)


@given(NASTY)
def test_what_escapes_do_not_hold_stands_in_code_alone(text: str) -> None:
    for show in (plain, plain_sentence):
        outside = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", " ", show(text))
        assert not re.search(r"://|www\.|@", outside, re.IGNORECASE)


@pytest.mark.parametrize("text", [" ", "   ", "\u2003"])
def test_white_space_alone_is_quoted(text: str) -> None:
    assert visible(text) == f'"{text}"'
    assert text in markup(text)
    assert plain("a b") == "a b"
