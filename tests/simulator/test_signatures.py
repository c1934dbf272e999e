import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from app.simulator.signatures import meta_signature, sendgrid_public_key, sendgrid_signature, twilio_signature

TOKEN = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"


class TestMetaSignature:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (
                b'{"object":"whatsapp_business_account","entry":[{"id":"200300400500600","changes":[]}]}',
                "sha256=8714cfbd0d9ce643e8d2c91bae8eec50e90138f9a0aa11edd5d4d17cc1fc9ebb",
            ),
            (rb'{"note":"caf\u00e9"}', "sha256=3c67436c6949d3fbb6944db93434aee62010317c641265d03890bf5970f86997"),
        ],
    )
    def test_known_bodies_have_the_known_value(self, body: bytes, expected: str) -> None:
        assert meta_signature("meta-app-secret-demo", body) == expected


class TestTwilioSignature:
    def test_form_post_covers_the_url_with_its_query_and_the_sorted_fields(self) -> None:
        fields = [
            ("To", "+351910000001"),
            ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
            ("ApiVersion", "2010-04-01"),
            ("From", "+15005550006"),
            ("MessageSid", "SM00000000000000000000000000000001"),
            ("MessageStatus", "delivered"),
            ("SmsSid", "SM00000000000000000000000000000001"),
            ("SmsStatus", "delivered"),
        ]
        url = "https://hooks.example.org/sms/twilio/status?tenant=acme"
        assert twilio_signature(TOKEN, url, fields) == "yXrITJSpotTXCKGZ8x/NpYMWbGs="

    def test_without_fields_the_url_alone_is_signed(self) -> None:
        url = (
            "https://hooks.example.org/sms/twilio/json"
            "?bodySHA256=9239c422a41b555493841e492401a13c6081045f49bd7223f575c7e1f7d86f7f"
        )
        assert twilio_signature(TOKEN, url) == "/hX9mDkXmn6Ocp7l1REcdI+TTKc="

    def test_a_fragment_is_not_signed(self) -> None:
        assert twilio_signature(TOKEN, "https://a.example/x#rc=2") == twilio_signature(TOKEN, "https://a.example/x")


class TestSendgridSignature:
    def test_the_published_key_verifies_timestamp_and_body(self) -> None:
        key = load_der_public_key(base64.b64decode(sendgrid_public_key("SG.one")))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        signature = base64.b64decode(sendgrid_signature("SG.one", "1772442905", b"[]\r\n"))
        key.verify(signature, b"1772442905[]\r\n", ec.ECDSA(hashes.SHA256()))
        with pytest.raises(InvalidSignature):
            key.verify(signature, b"1772442905[]", ec.ECDSA(hashes.SHA256()))

    def test_each_account_has_a_stable_key_of_its_own(self) -> None:
        sendgrid_public_key("SG.one")
        assert sendgrid_public_key("SG.one") != sendgrid_public_key("SG.two")
        known = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
        assert sendgrid_public_key("SG.one").startswith(known)
