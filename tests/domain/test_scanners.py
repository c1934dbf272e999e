import pytest

from app.domain.scanners import is_person

PEOPLE = [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; SM-S931B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (Linux; Android 12; CUBOT P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 [FBAN/FBIOS;FBAV/520.0]",
    "Opera/9.80 (Android; Opera Mini/80.0.2254/191.300; U; en) Presto/2.12.423 Version/12.16",
]
OTHERS = [
    "",
    "WhatsApp/2.23.20.0 A",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Twitterbot/1.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0",
    "Mozilla/5.0 (compatible; Barracuda Sentinel)",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/120.0 Safari/537.36 Proofpoint URL Defense",
    "Mozilla/5.0 (Windows NT 10.0) Mimecast-Security-Scanner",
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.32.0",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
]


class TestIsPerson:
    @pytest.mark.parametrize("agent", PEOPLE)
    def test_browsers_are_people(self, agent: str) -> None:
        assert is_person("GET", {"user-agent": agent})

    @pytest.mark.parametrize("agent", OTHERS)
    def test_scanners_previews_and_programs_are_not(self, agent: str) -> None:
        assert not is_person("GET", {"user-agent": agent})

    @pytest.mark.parametrize(
        "header",
        [
            ("purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("x-purpose", "preview"),
            ("x-moz", "Prefetch"),
        ],
    )
    def test_a_browser_that_loads_ahead_is_not(self, header: tuple[str, str]) -> None:
        assert not is_person("GET", {"user-agent": PEOPLE[0], header[0]: header[1]})

    def test_head_is_nobody(self) -> None:
        assert not is_person("HEAD", {"user-agent": PEOPLE[0]})
