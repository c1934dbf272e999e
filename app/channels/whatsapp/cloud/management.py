"""The templates of a business account, as Meta lists them, and the files that it keeps.

https://developers.facebook.com/docs/graph-api/reference/whats-app-business-account/message_templates
"""

from typing import Any

import httpx

from app.channels.http import exchange
from app.channels.media import MediaFile
from app.channels.provider_templates import ProviderTemplate
from app.channels.webhooks import mapping, text
from app.channels.whatsapp.cloud.answers import answer_of, error_of
from app.errors import OutcomeUnknown, ProviderMisconfigured, ProviderUnavailable, UnsupportedFeature

PAGE = 100
MOST_PAGES = 200  # a business account has at most some thousand templates; a cursor that never ends is a mistake
# `rejected_reason` and `quality_score` are shown only when they are asked for
FIELDS = "id,name,language,category,status,components,rejected_reason,quality_score"


async def list_templates(
    http: httpx.AsyncClient, url: httpx.URL, headers: httpx.Headers, name: str
) -> list[ProviderTemplate]:
    """Every page of `url`. Raises a SendError."""
    found: list[ProviderTemplate] = []
    query = {"fields": FIELDS, "limit": str(PAGE), **({"name": name} if name else {})}
    after = ""
    for _ in range(MOST_PAGES):
        params = {**query, **({"after": after} if after else {})}
        page = await _page(http, httpx.Request("GET", url, headers=headers, params=params))
        found += [_template(item) for item in page["data"] if isinstance(item, dict)]
        paging = mapping(page.get("paging"))
        after = text(mapping(paging.get("cursors")).get("after"))
        # Meta names the next page in `next`, and shows a cursor on the last one too; a full page is asked beyond anyway
        if not after or not (paging.get("next") or len(page["data"]) >= PAGE):
            return [it for it in found if it.name == name] if name else found
    raise UnsupportedFeature(f"The list of templates does not end after {MOST_PAGES} pages.")


async def upload_media(http: httpx.AsyncClient, url: httpx.URL, authorization: str, media: MediaFile) -> str:
    """https://developers.facebook.com/documentation/business-messaging/whatsapp/business-phone-numbers/media"""
    media.file.seek(0)
    request = httpx.Request(
        "POST",
        url,
        headers={"Authorization": authorization, "Accept": "application/json"},
        data={"messaging_product": "whatsapp", "type": media.mime_type},
        files={"file": (media.filename, media.file, media.mime_type)},
    )
    try:
        response = await exchange(http, request)
    except OutcomeUnknown as error:  # a file that was kept without our knowing is nobody's message
        raise ProviderUnavailable(error.detail) from error
    answer = answer_of(response)
    if not response.is_success:
        raise error_of(response, mapping(answer.get("error")))
    if id := text(answer.get("id")):
        return id
    raise ProviderUnavailable("The file was accepted without an id.", provider_code=f"http_{response.status_code}")


async def _page(http: httpx.AsyncClient, request: httpx.Request) -> dict[str, Any]:
    response = await exchange(http, request)
    answer = answer_of(response)
    if response.status_code >= 500:
        raise ProviderUnavailable(f"HTTP {response.status_code}", provider_code=f"http_{response.status_code}")
    if not response.is_success:
        raise error_of(response, mapping(answer.get("error")))
    if not isinstance(answer.get("data"), list):
        raise ProviderMisconfigured("The answer is no list of templates: is the base URL Meta's?")
    return answer


def _template(item: dict[str, Any]) -> ProviderTemplate:
    reason = text(item.get("rejected_reason"))
    components = item.get("components")
    return ProviderTemplate(
        provider_id=text(item.get("id")),
        name=text(item.get("name")),
        language=text(item.get("language")),
        category=text(item.get("category")),
        status=text(item.get("status")).upper(),
        reason="" if reason == "NONE" else reason,
        quality=text(mapping(item.get("quality_score")).get("score")),
        components=[it for it in components if isinstance(it, dict)] if isinstance(components, list) else None,
    )
