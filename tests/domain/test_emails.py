import pytest

from app.domain.emails import normalize_email


class TestNormalizeEmail:
    @pytest.mark.parametrize(
        ("raw", "expected"),
        [
            ("  Ana.Silva@Example.COM ", "ana.silva@example.com"),
            ("o'neil+news@mail.example.co.uk", "o'neil+news@mail.example.co.uk"),
            ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ],
    )
    def test_writes_one_spelling(self, raw: str, expected: str) -> None:
        assert normalize_email(raw) == expected

    @pytest.mark.parametrize(
        "raw",
        [
            "",
            "ana",
            "ana@",
            "@example.com",
            "ana@localhost",
            "ana@@example.com",
            ".ana@example.com",
            "ana..silva@example.com",
            "ana@-example.com",
            "ana@example..com",
            "ana@127.0.0.1",
            "ana silva@example.com",
            "ana@example.com\r\nBcc: x@example.com",
            "ána@example.com",
            "a" * 65 + "@example.com",
            "a@" + "b." * 130 + "com",
        ],
    )
    def test_refuses_what_is_no_mailbox(self, raw: str) -> None:
        with pytest.raises(ValueError, match="is not an e-mail address"):
            normalize_email(raw)
