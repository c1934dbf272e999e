"""Replies by e-mail: what a person wrote, what a machine wrote, and what it answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.channels.email.replies import MOST_CHARACTERS, is_automatic, message_ids, read_headers, reply_text

GMAIL = """Yes please!

On Mon, 2 Mar 2026 at 09:15, Example Org <news@mail.example.org> wrote:

> Hello Ana
> STOP to stop
"""
GMAIL_WRAPPED = """Sim, quero.

Em seg., 2 de mar. de 2026 às 09:15, Example Org, que é uma loja com um nome comprido <
news@mail.example.org> escreveu:

> Olá Ana
"""
OUTLOOK = """Thanks

________________________________
From: Example Org <news@mail.example.org>
Sent: Monday, March 2, 2026 9:15 AM
To: Ana
Subject: March update

Hello Ana
"""
OUTLOOK_PT = "Obrigada\n\nDe: Example Org <news@mail.example.org>\nEnviado: segunda-feira\nPara: Ana\n\nOlá"
OLD = "No.\n\n-----Original Message-----\nFrom: Example Org\n\nHello"
BETWEEN = "> Do you want it?\nYes.\n> In blue?\nNo, in red.\n"


class TestReplyText:
    @pytest.mark.parametrize(
        ("plain", "expected"),
        [
            ("Yes", "Yes"),
            (GMAIL, "Yes please!"),
            (GMAIL.replace("\n", "\r\n"), "Yes please!"),
            (GMAIL_WRAPPED, "Sim, quero."),
            (OUTLOOK, "Thanks"),
            (OUTLOOK_PT, "Obrigada"),
            (OLD, "No."),
            (BETWEEN, "Yes.\nNo, in red."),
            ("STOP\n\n-- \nAna Sá\nExample Lda", "STOP"),
            ("STOP\n\nSent from my telephone", "STOP"),
            ("STOP\n\nEnviado do meu iPhone\n\n" + GMAIL.partition("\n")[2], "STOP"),
            ("On Monday I wrote: nothing", "On Monday I wrote: nothing"),
            ("From: here to there\nis far", "From: here to there\nis far"),
            ("> only what we wrote", "> only what we wrote"),
            ("", ""),
        ],
    )
    def test_what_is_new_is_kept(self, plain: str, expected: str) -> None:
        assert reply_text(plain, "<p>another</p>" if plain else "") == expected

    @pytest.mark.parametrize(
        ("html", "expected"),
        [
            ("<p>Yes &amp; <b>no</b></p><style>p { }</style><!-- <p>not</p> -->", "Yes & no"),
            ("Yes<br>and no", "Yes\nand no"),
            ('<div>Yes</div><div class="gmail_quote"><div>On Monday</div><p>Hello</p></div>', "Yes"),
            ("<p>Yes</p><blockquote type=cite><img src=x><p>Hello</blockquote><p>Ana</p>", "Yes\n\nAna"),
            ("<blockquote>only theirs</blockquote>", "only theirs"),
            ("1 < 2 <3", "1 < 2 <3"),
        ],
    )
    def test_html_is_read_where_there_is_no_plain_text(self, html: str, expected: str) -> None:
        assert reply_text("  ", html) == expected

    @settings(deadline=None, max_examples=60)
    @given(pieces=st.lists(st.sampled_from(["<", ">", "<p", "</b>", "<!--", "-->", "\n", "On ", " wrote:", "a=", '"'])))
    def test_nothing_raises(self, pieces: list[str]) -> None:
        reply_text("".join(pieces), "")
        reply_text("", "".join(pieces))

    @pytest.mark.parametrize(
        "unit", ["<a ", "<!--", "</", "<![CDATA[", '<a x="', "<blockquote>", "On \n", "\n" + " " * 40]
    )
    @pytest.mark.timeout(60)
    def test_hostile_mail_comes_to_an_end(self, unit: str) -> None:
        """Quadratic work on these would take minutes."""
        assert isinstance(reply_text("", unit * (MOST_CHARACTERS // len(unit))), str)
        assert reply_text("a" + unit * (MOST_CHARACTERS // len(unit))).startswith("a")


class TestIsAutomatic:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Auto-Submitted", "auto-replied"),
            ("auto-submitted", "auto-generated; owner-email=x"),
            ("X-Autoreply", "yes"),
            ("X-Autorespond", "Out of office"),
            ("Precedence", "auto_reply"),
            ("Precedence", "Bulk"),
            ("Return-Path", "<>"),
            ("Content-Type", "multipart/report; report-type=delivery-status"),
            ("Subject", "Automatic reply: March update"),
            ("Subject", "=?utf-8?q?Resposta_autom=C3=A1tica=3A_Ol=C3=A1?="),
        ],
    )
    def test_machine_says_so(self, name: str, value: str) -> None:
        assert is_automatic([("From", "ana@example.com"), (name, value)])

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("Auto-Submitted", "no"),
            ("X-Autoreply", "no"),
            ("Precedence", "list"),
            ("Return-Path", "<ana@example.com>"),
            ("Content-Type", "multipart/alternative; boundary=x"),
            ("Subject", "Re: Out of office, and your offer"),
            ("Subject", "=?nonsense?q?a?="),
            ("X-Auto-Response-Suppress", "All"),  # what it does not want from us
        ],
    )
    def test_person_does_not(self, name: str, value: str) -> None:
        assert not is_automatic([(name, value)])


class TestMessageIds:
    def test_nearest_comes_first_and_each_once(self) -> None:
        headers = [("References", "<1@x> <2@x>\n <3@x>"), ("In-Reply-To", "<3@x>"), ("Message-Id", "<4@x>")]
        assert message_ids(headers) == ["3@x", "2@x", "1@x"]

    def test_anything_else_is_left_out(self) -> None:
        assert message_ids([("In-Reply-To", "your mail of Monday"), ("References", "< > <" + "a" * 999 + ">")]) == []


class TestReadHeaders:
    def test_block_is_unfolded_and_keeps_its_order(self) -> None:
        block = "Received: one\r\nReceived: two\r\nSubject: March\r\n update\r\n\r\nBody: none\r\n"
        assert read_headers(block) == [("Received", "one"), ("Received", "two"), ("Subject", "March update")]

    def test_nonsense_is_nothing(self) -> None:
        assert read_headers("no headers here") == []
