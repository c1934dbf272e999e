"""Who follows a link without being the person it was sent to: link scanners, previews, prefetchers, programs.

They get the redirect, because some show the person what is behind it; they are not counted. Nobody can tell them all: a
scanner that says it is a browser, and waits before it comes, counts as a click.
"""

import re
from collections.abc import Mapping
from datetime import timedelta

# A mail or message gateway opens links while the message is on its way; no person is that fast.
TOO_FAST = timedelta(seconds=2)
# A second request for a link within this time is the browser's own: a double tap, or the page behind its preview.
SAME_CLICK = timedelta(seconds=1)

# Browsers load pages before somebody asks for them, and say so.
PREFETCH_HEADERS = ("purpose", "sec-purpose", "x-purpose", "x-moz")
PREFETCH = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)

# Parts of user agents, in lower case.
PREVIEWS = (  # the little picture under a link, made by the app or its servers when a message is shown
    "whatsapp", "facebookexternalhit", "facebookcatalog", "meta-externalagent", "telegrambot", "slackbot",
    "slack-imgproxy", "twitterbot", "linkedinbot", "discordbot", "skypeuripreview", "line-poker", "kakaotalk-scrap",
    "google-pagerenderer", "google web preview", "googlemessages", "embedly", "iframely",
)  # fmt: skip
GATEWAYS = (  # mail security: opens every link before, and again when, it is clicked
    "safelinks", "barracuda", "proofpoint", "mimecast", "googleimageproxy", "yahoomailproxy", "symantec", "trendmicro",
    "fireeye", "forcepoint", "sophos", "ironport", "messagelabs", "zscaler", "checkpoint", "trustwave", "ms-office",
    "microsoft office", "msoffice", "bingpreview", "urlscan", "virustotal", "phishtank", "netcraft", "mxtoolbox",
)  # fmt: skip
PROGRAMS = (  # no person reads what they fetch
    "curl/", "wget/", "python-", "python/", "aiohttp", "httpx", "okhttp", "go-http-client", "java/", "apache-http",
    "libwww-perl", "lwp::", "php/", "guzzlehttp", "ruby", "axios/", "node-fetch", "node.js", "undici", "postmanruntime",
    "insomnia", "httpie", "powershell", "dart/", "headlesschrome", "phantomjs", "puppeteer", "playwright", "selenium",
)  # fmt: skip
# Crawlers call themselves so; the word stands alone or at the end of a name (Googlebot, AhrefsBot/7.0), so that a
# phone whose maker has it in its name (CUBOT) is still a person.
CRAWLER = re.compile(r"(?<!cu)bot(?![a-z])|crawler|spider|slurp|scanner|link ?check|archiver|validator|monitor")
BROWSER = "mozilla/5.0"


def is_person(method: str, headers: Mapping[str, str]) -> bool:
    """Whether this request looks like somebody's browser. `headers` by lower-case name."""
    if method != "GET" or any(PREFETCH.search(headers.get(name, "")) for name in PREFETCH_HEADERS):
        return False
    agent = headers.get("user-agent", "").lower()
    if BROWSER not in agent and not agent.startswith("opera/"):
        return False  # every browser says it is Mozilla, for thirty years now
    return not CRAWLER.search(agent) and not any(name in agent for name in (*PREVIEWS, *GATEWAYS, *PROGRAMS))
