"""Meta's webhook payloads in our own words."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from app.channels.base import EventKind, WebhookEvent, WebhookRequest
from app.channels.webhooks import digest, e164, from_unix, mapping, objects, read_json, text, without_empty
from app.channels.whatsapp.cloud.faults import code_of, detail_of, fault_of
from app.channels.whatsapp.cloud.inbound import content_of
from app.domain.status import OptOutScope, SuppressionReason
from app.errors import Malformed

Object = dict[str, Any]

STATUS_KINDS = {
    "sent": EventKind.SENT,
    "delivered": EventKind.DELIVERED,
    "read": EventKind.READ,
    "played": EventKind.READ,  # a voice note was played
    "failed": EventKind.FAILED,
}


class Change(NamedTuple):
    entry: Object
    field: str
    value: Object

    @property
    def account(self) -> str:
        """The phone number id; changes of the business account name only that."""
        return text(mapping(self.value.get("metadata")).get("phone_number_id")) or text(self.entry.get("id"))


def parse(request: WebhookRequest) -> list[WebhookEvent]:
    """Every report in the request. Raises Malformed."""
    return [event for change in _changes(request) for event in _events(change)]


def accounts(request: WebhookRequest) -> list[str]:
    """The accounts it names, each once. Raises Malformed."""
    return list(dict.fromkeys(change.account for change in _changes(request) if change.account))


def _changes(request: WebhookRequest) -> Iterator[Change]:
    body = read_json(request)
    if not isinstance(body, dict):
        raise Malformed("The webhook body must be an object.")
    if "entry" not in body:
        raise Malformed("entry is missing.")
    for number, entry in enumerate(objects(body["entry"], "entry")):
        for index, change in enumerate(objects(entry.get("changes"), f"entry[{number}].changes")):
            value = change.get("value")
            if not isinstance(value, dict):
                raise Malformed(f"entry[{number}].changes[{index}].value must be an object.")
            yield Change(entry, text(change.get("field")), value)


def _events(change: Change) -> Iterator[WebhookEvent]:
    value = change.value
    people = objects(value.get("contacts"), "contacts")
    match change.field:
        case "messages":
            for status in objects(value.get("statuses"), "statuses"):
                yield _status(change, status)
            for message in objects(value.get("messages"), "messages"):
                yield _message(change, message, people)
            for error in objects(value.get("errors"), "errors"):
                yield _unknown(change, error, error=error)
        case "user_preferences":
            for preference in objects(value.get("user_preferences"), "user_preferences"):
                yield _preference(change, preference, people)
        case "message_template_status_update" | "message_template_quality_update" | "template_category_update":
            yield _template(change)
        case _:
            yield _unknown(change, value)


def _status(change: Change, status: Object) -> WebhookEvent:
    message_id, word = text(status.get("id")), text(status.get("status"))
    participant = text(status.get("recipient_participant_id"))
    kind = STATUS_KINDS.get(word, EventKind.UNKNOWN)
    if not message_id or kind is EventKind.UNKNOWN:
        return _unknown(change, status, message_id=message_id)
    errors = objects(status.get("errors"), "statuses[].errors")
    error = errors[0] if errors else {}
    address = e164(participant or status.get("recipient_id"))
    fault = fault_of(error) if kind is EventKind.FAILED else None
    return WebhookEvent(
        key=":".join(filter(None, (message_id, word, participant))),
        kind=kind,
        occurred_at=from_unix(status.get("timestamp")),
        reference=text(status.get("biz_opaque_callback_data")),
        provider_message_id=message_id,
        address=address,
        error_code=code_of(error),
        error_detail=detail_of(error),
        retryable=fault is not None and fault.retryable,
        suppress=fault.suppress if fault and fault.suppress else "",
        data=_facts(
            change,
            user_id=text(status.get("recipient_user_id")) or ("" if address else text(status.get("recipient_id"))),
            pricing=status.get("pricing"),
            conversation=status.get("conversation"),
            participant=participant,
            scope=OptOutScope.MARKETING if fault and fault.marketing_only else "",
            limited_seconds=fault.limited.total_seconds() if fault and fault.limited else None,
        ),
        raw=status,
    )


def _message(change: Change, message: Object, people: list[Object]) -> WebhookEvent:
    message_id = text(message.get("id"))
    if not message_id:
        return _unknown(change, message)
    person = _person(message, people)
    profile = mapping(person.get("profile"))
    context = mapping(message.get("context"))
    content = content_of(message)
    return WebhookEvent(
        key=message_id,
        kind=content.kind,
        occurred_at=from_unix(message.get("timestamp")),
        provider_message_id=message_id,
        address=e164(message.get("from")) or e164(person.get("wa_id")),
        message_type=content.type,
        text=content.text,
        profile_name=text(profile.get("name")),
        context_id=content.context_id or text(context.get("id")),
        data=_facts(
            change,
            user_id=text(message.get("from_user_id")) or text(person.get("user_id")),
            username=text(profile.get("username")),
            forwarded=bool(context.get("forwarded") or context.get("frequently_forwarded")) or None,
            referral=message.get("referral"),
            **content.data,
        ),
        raw=message,
    )


def _person(message: Object, people: list[Object]) -> Object:
    """The entry of `contacts` that wrote the message. Someone with a username may have no telephone number."""
    sender = {text(message.get("from")), text(message.get("from_user_id"))} - {""}
    for person in people:
        if sender & {text(person.get("wa_id")), text(person.get("user_id"))}:
            return person
    return people[0] if len(people) == 1 and not sender else {}


def _preference(change: Change, preference: Object, people: list[Object]) -> WebhookEvent:
    kinds = {"stop": EventKind.OPTED_OUT, "resume": EventKind.OPTED_IN}
    kind = kinds.get(text(preference.get("value")), EventKind.UNKNOWN)
    person = _person({"from": preference.get("wa_id"), "from_user_id": preference.get("user_id")}, people)
    return WebhookEvent(
        key=_key(change, preference),
        kind=kind,
        occurred_at=from_unix(preference.get("timestamp") or change.entry.get("time")),
        address=e164(preference.get("wa_id")),
        suppress=SuppressionReason.STOP if kind is EventKind.OPTED_OUT else "",
        text=text(preference.get("detail")),
        profile_name=text(mapping(person.get("profile")).get("name")),
        data=_facts(
            change,
            category=text(preference.get("category")),
            user_id=text(preference.get("user_id")),
            scope=OptOutScope.MARKETING if kind is EventKind.OPTED_OUT else "",
        ),
        raw=preference,
    )


def _template(change: Change) -> WebhookEvent:
    """A change of a template's status, quality or category; the facts that did not change are absent."""
    value = change.value
    return WebhookEvent(
        key=_key(change, value),
        kind=EventKind.TEMPLATE_STATUS,
        occurred_at=from_unix(change.entry.get("time")),
        data=_facts(
            change,
            template_id=text(value.get("message_template_id")),
            name=text(value.get("message_template_name")),
            language=text(value.get("message_template_language")),
            category=text(value.get("new_category")) or text(value.get("message_template_category")),
            quality=text(value.get("new_quality_score")),
            event=text(value.get("event")),
            reason=text(value.get("reason")),
            rejection_info=value.get("rejection_info"),
            disable_info=value.get("disable_info"),
        ),
        raw=value,
    )


def _unknown(change: Change, item: Object, *, message_id: str = "", error: Object | None = None) -> WebhookEvent:
    return WebhookEvent(
        key=_key(change, item),
        kind=EventKind.UNKNOWN,
        occurred_at=from_unix(item.get("timestamp") or change.entry.get("time")),
        provider_message_id=message_id,
        error_code=code_of(error or {}),
        error_detail=detail_of(error or {}),
        data=_facts(change),
        raw=item,
    )


def _key(change: Change, item: Object) -> str:
    """For reports that have no id: Meta repeats them byte for byte, with the time of the first attempt."""
    return f"{change.field}:{digest(change.entry.get('id'), change.entry.get('time'), change.account, item)}"


def _facts(change: Change, **facts: Any) -> Mapping[str, Any]:
    return without_empty(account=change.account, business_account=text(change.entry.get("id")), **facts)
