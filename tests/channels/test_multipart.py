"""The form reader against forms that an independent library wrote, and against nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channels.multipart import Part, is_multipart, read_parts
from app.errors import Malformed
from tests.channels.contract import SHARED
from tests.channels.forms import form
from tests.channels.samples import webhook

NAMES = st.text(st.characters(exclude_characters='"\\\r\n\0', exclude_categories=["Cs"]), min_size=1, max_size=10)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ONE = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'


def read(body: bytes, content_type: str = "multipart/form-data; boundary=b") -> list[Part]:
    return read_parts(webhook(body, content_type=content_type))


class TestReadParts:
    @SHARED
    @given(fields=st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=5, unique_by=lambda field: field[0]))
    def test_fields_are_read_as_they_were_written(self, fields: list[tuple[str, str]]) -> None:
        assert [(part.name, part.content.decode()) for part in read_parts(form(fields))] == fields

    def test_file_has_its_name_type_and_bytes(self) -> None:
        content = b"\r\n--\r\n\0\xff\r\n"
        field, file = read_parts(form([("a", "1")], ("attachment1", "é 1.pdf", content, "application/pdf")))
        assert field == Part("a", b"1", None, "")
        assert file == Part("attachment1", content, "é 1.pdf", "application/pdf")

    @pytest.mark.parametrize(
        "content_type",
        [
            "multipart/form-data; boundary=b",
            'Multipart/Form-Data;BOUNDARY="b"',
            "multipart/form-data; charset=utf-8; boundary=b",
            "multipart/form-data ; boundary=b ; x=y",
        ],
    )
    def test_boundary_is_found_in_any_spelling(self, content_type: str) -> None:
        assert is_multipart(webhook(b"", content_type=content_type))
        assert read(ONE, content_type) == [Part("a", b"1", None, "")]

    def test_quotation_marks_in_a_name_are_escaped(self) -> None:
        body = ONE.replace(b'name="a"', rb'name="a \"b\" \\ c"; filename="C:\d.txt"')
        (part,) = read(body)
        assert (part.name, part.filename) == ('a "b" \\ c', r"C:\d.txt")

    def test_text_before_and_after_the_parts_is_left_out(self) -> None:
        assert read(b"preamble\r\n" + ONE + b"epilogue") == [Part("a", b"1", None, "")]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            ONE.removesuffix(b"--\r\n"),
            ONE.replace(b"name=", b"nome="),
            ONE.replace(b'"a"', b'"a'),
            b"".join(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' for _ in range(1_001)) + b"--b--",
        ],
    )
    def test_broken_body_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed, match="multipart body"):
            read(body)

    def test_form_without_fields_is_empty(self) -> None:
        assert read(b"--b--") == []

    @pytest.mark.parametrize(
        "parameter", ["", "; boundary=", '; boundary="é"', f"; boundary={'b' * 71}", '; boundary="b']
    )
    def test_content_type_without_a_usable_boundary_is_malformed(self, parameter: str) -> None:
        with pytest.raises(Malformed, match="boundary"):
            read(ONE, f"multipart/form-data{parameter}")

    @SHARED
    @given(
        body=st.binary(max_size=100) | st.lists(st.sampled_from([b"--b", b"\r\n", b'name="', b";", b"a"])).map(b"".join)
    )
    def test_any_body_is_read_or_called_malformed(self, body: bytes) -> None:
        for broken in (body, ONE[:20] + body + ONE[20:]):
            try:
                parts = read(broken)
            except Malformed:
                continue
            assert all(part.name for part in parts)
