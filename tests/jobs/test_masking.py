"""Masking: the same output wherever the chunks are cut, and no secret in it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.ansi import LineCleaner
from runner.jobs.masking import Masker, unfit_secrets

WORDS = st.text(alphabet="ab", min_size=3, max_size=6)
OUTPUT = st.text(alphabet="abc\n", max_size=60)
UNTIDY = st.lists(
    st.sampled_from(
        ["a", "b", "c", "\n", "\0", "\a", "\x1b[31m", "\x1b[0m", "\x1b]0;t\a", "\x1b(B", "\x1b", "\x85"]
    ),
    max_size=40,
).map("".join)


def masked(secrets: list[str], text: str) -> str:
    return Masker(secrets).text(text)


@pytest.mark.parametrize(
    ("secrets", "text", "expected"),
    [
        (["s3cret"], "token=s3cret.", "token=***."),
        (["s3cret"], "s3crets3cret", "******"),
        (["s3cret"], "s3cre", "s3cre"),
        (["abc", "abcdef"], "abcdef abcd", "*** ***d"),
        (["abcd", "cdef"], "abcdef", "***"),
        (["aba"], "ababa", "***"),
        (["first\n  second  \nxy\n"], "first, second, xy", "***, ***, xy"),
        (["pass\r\nword"], "pass word", "*** ***"),
        (["geheim ü"], "das geheim ü!", "das ***!"),
        ([], "all of it", "all of it"),
        (["s3cret"], "echo s3cre…, 's3c…', 's3cr'…", "echo ***…, '***…', '***'…"),
        (["s3cret"], "echo s3…, s3cre, s3cret…", "echo s3…, s3cre, ***…"),
    ],
)
def test_secrets_are_replaced(secrets: list[str], text: str, expected: str) -> None:
    assert expected == masked(secrets, text)


@pytest.mark.parametrize("prefix", ["", "x", "xy", "user:"])
def test_a_secret_is_masked_as_tools_write_it(prefix: str) -> None:
    secret = 'p@ss "word" ü/+'
    spellings = [
        json.dumps({"p": prefix + secret}),
        json.dumps({"p": prefix + secret}, ensure_ascii=False),
        quote(prefix + secret, safe=""),
        base64.b64encode((prefix + secret).encode()).decode(),
        base64.b64encode((prefix + secret + "!!").encode()).decode(),
        base64.b32encode((prefix + secret).encode()).decode(),
        base64.b32encode((prefix + secret + "!!").encode()).decode().lower(),
    ]

    for text in spellings:
        shown = masked([secret], text)
        assert "***" in shown
        assert len(shown) < len(text) - len(secret) // 2


SECRETS = [
    "wJalrXUtn/EMI+K7MDENGbPxRf",
    "Tom&Jerry'sPassword",
    'a "quoted" <b> \\ $HOME `x`',
    "geheim ü 包子",
    "sk-live-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
]
CUT = "-- 8< --"
PROGRAMS = f"""
printf '%s' "$S"; echo '{CUT}'
printf '%q' "$S"; echo '{CUT}'
(set -x; : "$S") 2>&1; echo '{CUT}'
declare -p S; echo '{CUT}'
printf '%s' "$S" | base64; echo '{CUT}'
echo "$S" | base64; echo '{CUT}'
printf 'u:%s' "$S" | base64 -w0; echo '{CUT}'
printf '%s' "$S" | od -An -v -tx1 | tr -d ' \\n'; echo '{CUT}'
printf '%s' "$S" | rev; echo '{CUT}'
printf '%s' "$S" | xxd -p; echo '{CUT}'
printf '%s' "$S" | xxd -p -u -c0; echo '{CUT}'
echo "$S" | base32 -w0; echo '{CUT}'
printf '%s' "$S" | od -An -v -tx1 -w100; echo '{CUT}'
printf '%s' "$S" | hexdump -v -e '1/1 "%02X:"'; echo '{CUT}'
printf '%s' "$S" | tr A-Za-z N-ZA-Mn-za-m; echo '{CUT}'
printf '%s' "$S" | tr a-z A-Z; echo '{CUT}'
python3 -c '
import html, json, os, shlex, urllib.parse, xml.sax.saxutils
secret, written = os.environ["S"], os.environb[b"S"]
print(urllib.parse.quote(secret), urllib.parse.urlencode({{"k": secret}}), sep="{CUT}", end="{CUT}")
print(json.dumps(secret), html.escape(secret), xml.sax.saxutils.quoteattr(secret), sep="{CUT}", end="{CUT}")
print([secret], written, shlex.quote(secret), sep="{CUT}")
'
"""


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.quick("wJalrXUtn/EMI+K7MDENGbPxRf")
def test_a_secret_is_masked_however_programs_write_it(secret: str) -> None:
    """
    What is left are a program's own words and, of Base64, the characters that the ends of a secret share.
    """
    for printed, own_words in zip(printed_by_programs(secret), printed_by_programs(""), strict=True):
        shown = Masker([secret]).whole(printed)

        assert b"***" in shown, printed
        assert len(shown.replace(b"***", b"")) <= len(own_words) + 10


DUMPS = [
    "xxd",
    "xxd -u -g1",
    "xxd -b",
    "od",
    "od -x",
    "od -c",
    "od -b",
    "od -An -tx1",
    "hexdump",
    "hexdump -C",
]


@pytest.mark.parametrize("dump", DUMPS)
@pytest.mark.parametrize("secret", [each for each in SECRETS if each.isascii()])
def test_of_a_dump_that_begins_with_a_secret_no_line_shows_what_it_is(secret: str, dump: str) -> None:
    printed = subprocess.run(dump.split(), input=secret.encode(), capture_output=True, check=True).stdout

    lines = zip(printed.splitlines(), Masker([secret]).whole(printed).splitlines(), strict=True)

    whole = len(secret) // 16 if dump != "xxd -b" else len(secret) // 6
    assert whole <= sum(b"***" in shown and len(shown) < len(line) - 12 for line, shown in lines)


def printed_by_programs(secret: str) -> list[bytes]:
    environ = {**os.environ, "S": secret, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    done = subprocess.run(["bash", "-c", PROGRAMS], env=environ, capture_output=True, check=True)
    return done.stdout.split(CUT.encode())


def encoded(secret: str, before: str, behind: str, width: int) -> str:
    whole = base64.b64encode((before + secret + behind).encode()).decode()
    return "\n".join(whole[at : at + width] for at in range(0, len(whole), width)) + "\n"


LONG = st.text(st.sampled_from("abcXYZ012-_/+ "), min_size=60, max_size=200).map(lambda text: f"k{text}k")


@given(LONG, st.text("u:", max_size=90), st.text("x", max_size=9), st.sampled_from([64, 76]))
def test_of_base64_on_several_lines_at_most_five_bytes_a_line_are_seen(
    secret: str, before: str, behind: str, width: int
) -> None:
    text = encoded(secret, before, behind, width)
    shown = Masker([secret]).text(text)

    plain = base64.b64encode((before + secret + behind).encode()).decode()
    start, end = (len(before) + 2) // 3 * 4, (len(before) + len(secret)) // 3 * 4
    inside = plain[start:end]
    left = [run for run in re.findall(r"[A-Za-z0-9+/]+", shown.replace("***", " ")) if run in inside]
    assert all(len(run) < 8 for run in left)


@given(LONG, st.text("u:", max_size=90), st.sampled_from([64, 76]), st.lists(st.integers(0, 400), max_size=8))
def test_base64_on_several_lines_is_masked_alike_wherever_it_is_cut(
    secret: str, before: str, width: int, cuts: list[int]
) -> None:
    data = ("log\n" + encoded(secret, before, "\n", width) + "done\n").encode()
    stream = Masker([secret]).stream()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    streamed = b"".join(stream.feed(data[start:end]) for start, end in pairwise(places)) + stream.flush()

    assert Masker([secret]).whole(data) == streamed


@given(st.lists(WORDS, max_size=4), OUTPUT, st.lists(st.integers(0, 60), max_size=8))
def test_what_comes_out_does_not_depend_on_where_the_chunks_were_cut(
    secrets: list[str], text: str, cuts: list[int]
) -> None:
    data = text.encode()
    stream = Masker(secrets).stream()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    streamed = b"".join(stream.feed(data[start:end]) for start, end in pairwise(places)) + stream.flush()

    assert Masker(secrets).whole(data) == streamed


@given(st.lists(WORDS, min_size=1, max_size=4), OUTPUT)
def test_no_secret_is_left(secrets: list[str], text: str) -> None:
    shown = masked(secrets, text)

    assert not [secret for secret in secrets if secret in shown]


@given(st.lists(WORDS, min_size=1, max_size=4), OUTPUT)
def test_what_is_no_secret_stays_as_it_is(secrets: list[str], text: str) -> None:
    expected = "".join("c\n"["c\n".index(each)] for each in text if each in "c\n")

    assert expected == "".join(each for each in masked(secrets, text) if each in "c\n")


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(OUTPUT, max_size=8))
def test_less_is_held_back_than_the_longest_secret(secrets: list[str], chunks: list[str]) -> None:
    masker = Masker(secrets)
    stream = masker.stream()
    longest = max(map(len, masker.words))

    for chunk in chunks:
        stream.feed(chunk.encode())

        assert stream.held < longest


@pytest.mark.parametrize(
    "between",
    ["\x1b[31m", "\x1b[0m\x1b[1;31m", "\0", "\a\b", "\x7f", "\x85", "\x1b]8;;http://x\x1b\\", "\x1b(B"],
)
def test_what_is_not_seen_inside_a_secret_does_not_hide_it(between: str) -> None:
    assert "a *** b" == masked(["s3cret"], f"a s3{between}cre{between}t b")


def test_colours_around_a_secret_stay() -> None:
    assert "\x1b[31m***\x1b[0m" == masked(["s3cret"], "\x1b[31ms3\x1b[1mcret\x1b[0m")


def test_a_secret_with_a_control_character_is_masked_also_without_it() -> None:
    assert "***, ***" == masked(["s3\acret"], "s3\acret, s3cret")


@given(
    st.lists(WORDS, min_size=1, max_size=3), UNTIDY, st.lists(st.integers(0, 80), max_size=8), st.booleans()
)
def test_no_secret_is_shown_however_it_was_coloured_and_cut(
    secrets: list[str], text: str, cuts: list[int], colors: bool
) -> None:
    data = text.encode()
    stream, lines = Masker(secrets).stream(), LineCleaner(colors=colors)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    written = b"".join(stream.feed(data[start:end]) for start, end in pairwise(places)) + stream.flush()

    shown = LineCleaner(colors=False).feed(lines.feed(written) + lines.rest()).decode()
    assert not [secret for secret in secrets if secret in shown]


def test_what_stretches_without_end_is_not_held_without_end() -> None:
    stream = Masker(["s3cret"]).stream()

    for _ in range(64):
        stream.feed(b"s3" + b"\0" * 4096)
        assert stream.held <= 64 * 1024


def test_a_whole_line_is_passed_on_at_once() -> None:
    stream = Masker(["secret"]).stream()

    assert b"no se\n" == stream.feed(b"no se\n")


def test_nothing_is_to_mask_without_secrets() -> None:
    assert (False, True) == (bool(Masker([])), bool(Masker(["secret"])))


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    assert b"\xff\xfe *** \x00" == Masker(["secret"]).whole(b"\xff\xfe secret \x00")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "it is empty"),
        (" \n ", "it is empty"),
        ("ab", "fewer than 3 characters"),
        ("a\nb\n", "fewer than 3 characters"),
    ],
)
def test_what_can_not_be_masked_is_refused_without_a_word_of_it(value: str, words: str) -> None:
    refused = unfit_secrets({"TOKEN": value, "FINE": "a\nlong enough"})

    assert ["TOKEN"] == list(refused)
    assert words in refused["TOKEN"]
