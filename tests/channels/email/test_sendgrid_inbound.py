"""SendGrid's Inbound Parse: its secret address, and what people write."""

import json
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from app.channels.base import EventKind, Feature, WebhookEvent, WebhookRequest
from app.channels.email.sendgrid import SendGridEmail
from app.errors import InvalidSignature, Malformed
from tests.channels.contract import SHARED, TEXT, assert_storable, offline
from tests.channels.email.test_sendgrid import CREDENTIALS
from tests.channels.forms import File, form
from tests.channels.samples import PUBLIC_URL, SETTINGS_ID, context, recorded, webhook

WEBHOOK_URL = f"{PUBLIC_URL}/v1/webhooks/email/{SETTINGS_ID}"
MESSAGE_ID = "<CAF1@mail.example.com>"
HEADERS = f"Received: by mx\nFrom: Ana\nMessage-ID: {MESSAGE_ID}\nIn-Reply-To:\n <Zq1xTn8pQ0@geopod-ismtpd-3>\n"
FIELDS = {
    "headers": HEADERS,
    "dkim": "{@example.com : pass}",
    "SPF": "pass",
    "to": "hello@reply.example.org",
    "from": "Ana Sá <Ana@Example.com>",
    "subject": "Re: March update",
    "text": "Yes, please!\r\n\r\nOn Mon, 2 Mar 2026 at 09:15, Shop <news@mail.example.org> wrote:\r\n> Want one?\r\n",
    "html": "<p>Yes, please!</p>",
    "sender_ip": "192.0.2.7",
    "envelope": '{"to":["hello@reply.example.org"],"from":"ana@example.com"}',
    "attachments": "1",
    "charsets": '{"to":"UTF-8","from":"UTF-8","subject":"UTF-8","text":"utf-8"}',
    "spam_score": "0.1",
}
PHOTO: File = ("attachment1", "cat.jpg", b"\xff\xd8\r\n--\0", "image/jpeg")


def receiver(**changed: str) -> SendGridEmail:
    return SendGridEmail({**CREDENTIALS, **changed}, context(offline(), "http://127.0.0.1:9"))


def inbound_url(**changed: str) -> str:
    return SendGridEmail.inbound_url({**CREDENTIALS, **changed}, SETTINGS_ID, WEBHOOK_URL)


def posted(*files: File, url: str = "", **changes: str) -> WebhookRequest:
    return form({**FIELDS, **changes}, *files, url=url or inbound_url())


def parse(*files: File, **changes: str) -> WebhookEvent:
    (event,) = receiver().parse(posted(*files, **changes))
    return event


class TestVerify:
    def test_secret_address_is_accepted(self) -> None:
        receiver().verify(posted(PHOTO))

    @pytest.mark.parametrize("query", ["", "?", "?token", "?token=", "?token=guess", "?token=é", "?other=1"])
    def test_any_other_address_is_refused(self, query: str) -> None:
        with pytest.raises(InvalidSignature, match="inbound_url"):
            receiver().verify(posted(url=WEBHOOK_URL + query))

    def test_token_differs_for_every_setting_and_key(self) -> None:
        other = SendGridEmail.inbound_url(CREDENTIALS, SETTINGS_ID.__class__(int=1), WEBHOOK_URL)
        assert len({inbound_url(), inbound_url(api_key="SG.other"), other}) == 3
        assert CREDENTIALS["api_key"] not in inbound_url()

    def test_chosen_token_stays_when_the_key_changes(self) -> None:
        token = "a-token-of-our-own-1234"
        assert inbound_url(inbound_token=token) == inbound_url(inbound_token=token, api_key="SG.other")
        receiver(inbound_token=token).verify(posted(url=inbound_url(inbound_token=token)))
        with pytest.raises(InvalidSignature):
            receiver(inbound_token=token).verify(posted())

    @pytest.mark.parametrize("token", ["short", "with spaces and more words", "x" * 101, "é" * 20])
    def test_token_that_can_be_guessed_or_breaks_an_address_is_named(self, token: str) -> None:
        problems = SendGridEmail.check_credentials({**CREDENTIALS, "inbound_token": token})
        assert problems == ["credentials.inbound_token must be 20 to 100 letters, digits, - or _"]

    def test_token_opens_nothing_but_mail(self) -> None:
        events = webhook(recorded("sendgrid", "batch.json"), inbound_url(), content_type="application/json")
        with pytest.raises(InvalidSignature):
            receiver().verify(events)


class TestParse:
    def test_answer_of_a_person_is_inbound(self) -> None:
        event = parse()
        assert Feature.INBOUND in SendGridEmail.features
        assert (event.kind, event.message_type, event.text) == (EventKind.INBOUND, "text", "Yes, please!")
        assert (event.address, event.profile_name) == ("ana@example.com", "Ana Sá")
        assert event.data["subject"] == "Re: March update"
        assert (event.data["spam_score"], event.data["spf"]) == (0.1, "pass")
        assert event.data["to"] == ["hello@reply.example.org"]

    def test_mail_that_it_answers_is_named_as_its_receipt_named_it(self) -> None:
        assert parse().context_id == "Zq1xTn8pQ0"

    def test_attachments_are_listed_and_not_kept(self) -> None:
        event = parse(PHOTO)
        assert event.data["attachments"] == [{"name": "cat.jpg", "type": "image/jpeg", "size": len(PHOTO[2])}]
        assert "attachment1" not in event.raw

    @pytest.mark.parametrize("as_file", [False, True])
    def test_whole_mail_is_read_as_well(self, as_file: bool) -> None:
        mail = EmailMessage()
        mail["From"], mail["Subject"] = "Ana <ana@example.com>", "Re: March update"
        mail.set_content("Olá, one please\n\n> Want one?\n")
        mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="order.pdf")
        fields = {name: value for name, value in FIELDS.items() if name not in ("text", "html")}
        files: list[File] = [("email", "mail.eml", mail.as_bytes(), "message/rfc822")] if as_file else []
        if not as_file:
            fields["email"] = mail.as_string()
        (event,) = receiver().parse(form(fields, *files))
        assert (event.kind, event.text, event.address) == (EventKind.INBOUND, "Olá, one please", "ana@example.com")
        assert [found["name"] for found in event.data["attachments"]] == ["order.pdf"]
        assert "email" not in event.raw

    def test_same_mail_posted_again_has_the_same_key(self) -> None:
        assert parse().key == parse(PHOTO, spam_score="9").key
        others = {parse(headers=HEADERS.replace("CAF1", "CAF2")).key, parse(**{"from": "rui@example.com"}).key}
        assert len({parse().key, *others}) == 3

    def test_without_a_message_id_the_words_tell_mails_apart(self) -> None:
        assert (
            parse(headers="", text="one").key == parse(headers="", text="one").key != parse(headers="", text="two").key
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"headers": HEADERS + "Auto-Submitted: auto-replied\n"},
            {"headers": HEADERS + "Precedence: bulk\n"},
            {"headers": HEADERS + "X-Autoreply: yes\n"},
            {"envelope": '{"to":["hello@reply.example.org"],"from":""}'},
        ],
    )
    def test_answer_of_a_machine_is_kept_but_is_no_reply(self, changes: dict[str, str]) -> None:
        event = parse(**changes)
        assert (event.kind, event.message_type) == (EventKind.UNKNOWN, "")
        assert event.data["automatic"] is True
        assert event.text

    def test_html_is_read_where_there_is_no_text(self) -> None:
        assert parse(text="", html="<p>Yes,<br>please &amp; thanks</p>").text == "Yes,\nplease & thanks"

    def test_mail_without_words_has_its_subject(self) -> None:
        assert parse(text="", html="").text == "Re: March update"

    @pytest.mark.parametrize(
        ("charset", "words"),
        [("iso-8859-1", "Olá"), ("windows-1252", "Olá"), ("gb18030", "你好"), ("utf-8", "Olá"), ("cp9999", "Olá")],
    )
    def test_each_field_has_its_own_charset(self, charset: str, words: str) -> None:
        request = posted(charsets=json.dumps({"text": charset}), text="WORDS")
        codec = "utf-8" if charset == "cp9999" else charset
        (event,) = receiver().parse(replace(request, body=request.body.replace(b"WORDS", words.encode(codec))))
        assert event.text == words

    @pytest.mark.parametrize(
        "charset", ["punycode", "unicode_escape", "idna", "rot13", "hex", "utf-7", "", "\0", "x" * 99]
    )
    def test_charset_that_is_none_is_not_used(self, charset: str) -> None:
        assert parse(charsets=json.dumps({"text": charset}), text="Ol\\xe1").text == "Ol\\xe1"

    @pytest.mark.parametrize("sender", ["", "Ana", "a@x, b@y", "Ana <a@x> <b@y>", "(" * 5_000 + "a@x", "<a@x> evil"])
    def test_sender_that_is_no_single_address_is_empty(self, sender: str) -> None:
        assert parse(**{"from": sender}).address == ""

    def test_form_of_something_else_is_malformed(self) -> None:
        with pytest.raises(Malformed, match="envelope"):
            receiver().parse(form({"a": "1"}))

    def test_accounts_are_not_named(self) -> None:
        assert SendGridEmail.account_hints(posted()) == []

    @SHARED
    @given(fields=st.dictionaries(st.sampled_from(sorted(FIELDS)), TEXT | st.sampled_from(["{", "[]", '{"to":1}'])))
    def test_whatever_the_fields_it_can_be_stored(self, fields: dict[str, str]) -> None:
        encodable = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
        assert_storable(parse(**encodable))

    @SHARED
    @given(body=st.binary(max_size=200))
    def test_any_body_is_read_or_called_malformed(self, body: bytes) -> None:
        try:
            events = receiver().parse(replace(posted(), body=body))
        except Malformed:
            return
        assert events == []

    def test_fields_are_those_that_another_reader_finds(self) -> None:
        request = posted(PHOTO)
        content_type = request.headers["content-type"]
        builder = EnvironBuilder(method="POST", data=request.body, content_type=content_type)
        theirs = Request(builder.get_environ())
        (event,) = receiver().parse(request)
        assert {name: event.raw[name] for name in FIELDS} == theirs.form.to_dict()
        assert [file["name"] for file in event.raw["files"]] == [file.filename for file in theirs.files.values()]
        theirs.close()
        builder.close()
