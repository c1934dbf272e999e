import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.webhooks import digest, e164, from_unix, read_json, same
from app.errors import Malformed
from tests.channels.contract import SHARED
from tests.channels.samples import webhook


class TestReadJson:
    @SHARED
    @given(value=st.recursive(st.text() | st.booleans(), lambda inner: st.lists(inner)))
    def test_storable_value_is_read_as_it_is(self, value: object) -> None:
        if "\\u0000" not in json.dumps(value):
            assert read_json(webhook(json.dumps(value).encode())) == value

    def test_surrogate_pair_is_one_character(self) -> None:
        assert read_json(webhook(rb'"\ud83d\ude00"')) == "😀"

    def test_number_beyond_64_bits_is_rounded(self) -> None:
        assert read_json(webhook(rb'["\ud83d",123456789012345678901234567890]'))[1] == 1.2345678901234568e29

    def test_backslash_before_u_is_left_alone(self) -> None:
        assert read_json(webhook(rb'"C:\\u0000"')) == r"C:\u0000"

    @pytest.mark.parametrize(
        "body", [b"", b"nul", b"NaN", b"1e999", rb'["\ud83d",NaN]', rb'["\ud83d",1e999]', rb'["\ud83d"', b'"\xff"']
    )
    def test_anything_else_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            read_json(webhook(body))


class TestFromUnix:
    def test_number_and_text_are_the_same_moment(self) -> None:
        assert from_unix("1790000000") == from_unix(1790000000) == datetime.fromtimestamp(1790000000, UTC)

    @pytest.mark.parametrize("value", [None, "", "soon", [], "nan", 1e300, -1e300, "9" * 30])
    def test_unreadable_time_is_now(self, value: object) -> None:
        before = datetime.now(UTC)
        assert before <= from_unix(value) <= datetime.now(UTC)


class TestE164:
    @pytest.mark.parametrize(
        ("given", "number"),
        [("15005550111", "+15005550111"), ("+15005550111", "+15005550111"), (15005550111, "+15005550111")],
    )
    def test_digits_get_their_plus(self, given: object, number: str) -> None:
        assert e164(given) == number

    @pytest.mark.parametrize("given", [None, "", "+", "US.9000", "1" * 16, "١٥٠", "120363@g.us"])
    def test_what_is_no_number_is_empty(self, given: object) -> None:
        assert e164(given) == ""


class TestDigest:
    def test_order_of_names_does_not_matter(self) -> None:
        assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


class TestSame:
    def test_equal_secrets_are_the_same(self) -> None:
        assert same("é", "é")
        assert not same("e", "é")
        assert not same("\ud83d", "é")
