"""What the control API can set: how the sandbox behaves, what people do, and what goes wrong."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator

Channel = Literal["whatsapp", "sms", "email"]
Provider = Literal["whatsapp_cloud", "twilio", "messagebird", "sendgrid", "mailgun", "resend", "smtp"]
Share = Annotated[float, Field(ge=0, le=1)]
Span = Annotated[tuple[float, float], Field(description="least and most")]

# What becomes of a message. At most one holds; none of them means it is delivered.
FATES = ("not_on_whatsapp", "not_mobile", "fail", "bounce", "blocked", "silent")
# What the person does after it arrived.
ACTIONS = ("reply", "stop", "unsubscribe", "buy")
Do = Literal[
    "deliver", "read", "click", "not_on_whatsapp", "not_mobile", "fail", "bounce", "blocked", "silent",
    "reply", "stop", "unsubscribe", "buy",
]  # fmt: skip
NOT_ON = {
    "whatsapp": frozenset({"bounce", "blocked", "not_mobile", "unsubscribe", "click"}),
    "sms": frozenset({"bounce", "blocked", "not_on_whatsapp", "unsubscribe", "read"}),
    "email": frozenset({"not_on_whatsapp", "not_mobile", "reply"}),
}


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shares(Shape):
    """Which part of the people does what. Fates exclude each other, and so do actions; `read` is a part of those who
    get the message. A `deliver` below 1 leaves the rest, after the other fates, silent."""

    deliver: Share | None = None
    read: Share = 0
    click: Share = 0
    reply: Share = 0
    stop: Share = 0
    unsubscribe: Share = 0
    buy: Share = 0
    fail: Share = 0
    bounce: Share = 0
    blocked: Share = 0
    not_on_whatsapp: Share = 0
    not_mobile: Share = 0
    silent: Share = 0

    @model_validator(mode="after")
    def _sums_fit(self) -> Self:
        for names in (FATES, ACTIONS):
            if sum(getattr(self, name) for name in names) > 1 + 1e-9:
                raise ValueError(f"the shares of {', '.join(names)} exclude each other and may not exceed 1 together")
        return self


class Behaviour(Shape):
    """Every field has a default; `PUT /sandbox/behaviour` changes the fields it names."""

    seed: int | str = "sandbox"
    shares: Shares = Shares()
    channel_shares: dict[Channel, Shares] = Field(default={}, description="in place of `shares` on one channel")
    after_weights: list[Annotated[float, Field(ge=0)]] = Field(
        default=[1.0], min_length=1, description="how likely people act after their 1st, 2nd, 3rd … message"
    )
    latency_ms: float = Field(20, ge=0, le=60_000)
    messages_per_second: float | None = Field(None, gt=0, description="of an account that has no limit of its own")
    webhook_delay_ms: Span = (20, 200)
    action_delay_ms: Span = (200, 2_000)
    click_delay_ms: Span = Field((2_500, 6_000), description="from an SMS to its link: people are no link scanners")
    action_delay_days: Span | None = Field(None, description="in place of action_delay_ms, in short days")
    day_seconds: float = Field(86_400, gt=0, description="length of a day for delays given in days")
    window_seconds: float = Field(86_400, gt=0, description="length of WhatsApp's customer-service window")
    pair_burst: float = Field(45, ge=1, description="messages to one WhatsApp user before the pair limit")
    pair_seconds: float = Field(6, gt=0, description="one more every so many seconds")
    duplicate_share: Share = 0
    reorder_share: Share = 0
    webhook_loss_share: Share = Field(
        0, description="posts that get lost until they are tried again: half never arrive, of half the answer doesn't"
    )
    retry_factor: float = Field(1, gt=0, description="multiplies every delay before a webhook is tried again")
    twilio_retries: int = Field(5, ge=0, le=1_000, description="stands for Twilio's connection overrides")
    webhook_timeout_seconds: float = Field(15, gt=0)
    webhook_connections: int = Field(16, ge=1, le=500, description="per account")
    whatsapp_batch: int = Field(10, ge=1, le=1_000, description="most statuses in one WhatsApp webhook")
    sendgrid_batch_ms: float = Field(250, ge=0, description="how often SendGrid posts its events (in reality 30 s)")
    resend_key_seconds: float = Field(86_400, gt=0, description="how long Resend knows an idempotency key")
    mailgun_listed_after_seconds: float = Field(
        0, ge=0, description="how long Mailgun's list of events lags behind (in reality up to half an hour)"
    )
    smtp_greylist_seconds: float | None = Field(
        None, gt=0, description="how long the mail server puts off who writes to somebody for the first time"
    )
    max_pending: int = Field(200_000, ge=1, description="webhooks kept for later; more are dropped and counted")
    whatsapp_fail_codes: list[int] = Field(default=[131026], min_length=1)
    sms_fail_codes: list[int] = Field(default=[30005, 30003], min_length=1)
    email_unsubscribe: Literal["auto", "event", "one_click"] = Field(
        "auto", description="auto: one-click where the message offers it, else the provider's event"
    )
    currency: str = Field("EUR", pattern="^[A-Z]{3}$")

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> Self:
        for name in ("webhook_delay_ms", "action_delay_ms", "click_delay_ms", "action_delay_days"):
            span = getattr(self, name)
            if span is not None and not 0 <= span[0] <= span[1]:
                raise ValueError(f"{name} must be [least, most], neither below 0")
        return self

    def shares_on(self, channel: Channel) -> Shares:
        return self.channel_shares.get(channel, self.shares)


def _spell_out(step: Any) -> Any:
    return {"do": step} if isinstance(step, str) else step


class Step(Shape):
    """`after` ties it to the n-th message. Without it, a fate or `read` holds for every message, and an action
    (reply, stop, unsubscribe, buy) is taken once, after the first."""

    do: Do
    after: int | None = Field(None, ge=1)
    text: str | None = Field(None, max_length=1_600)
    code: int | None = None
    amount: str | None = Field(None, pattern=r"^\d+(\.\d{1,2})?$")
    delay_ms: float | None = Field(None, ge=0)
    delay_days: float | None = Field(None, ge=0)


class PersonScript(Shape):
    address: str = Field(min_length=3)
    channel: Channel | None = None
    script: list[Annotated[Step, BeforeValidator(_spell_out)]] = []

    @model_validator(mode="after")
    def _fits_the_channel(self) -> Self:
        channel = self.channel or ("email" if "@" in self.address else None)
        for step in self.script:
            if channel and step.do in NOT_ON[channel]:
                raise ValueError(f"{step.do!r} can't be done on {channel}")
        return self


class Fault(Shape):
    """One thing that goes wrong, for the `next` so many requests or a `share` of all.

    error: answers `status` (and `code`, where the provider has codes), after accepting when `after_accept`.
    hang: accepts, answers nothing for `seconds`, then drops the connection. reset: accepts, then drops the connection.
    Over SMTP `status` is the reply's code, and what follows an acceptance is always the loss of its reply.
    throttle: answers 429 with Retry-After.
    """

    kind: Literal["error", "hang", "reset", "throttle"]
    provider: Provider | None = None
    share: Share | None = None
    next: int | None = Field(None, ge=1)
    status: int = Field(503, ge=400, le=599)
    code: int | None = None
    after_accept: bool = False
    reads: bool = Field(True, description="false: requests that only ask (GET) are spared")
    retry_after: int = Field(1, ge=0)
    seconds: float = Field(60, gt=0)

    @model_validator(mode="after")
    def _has_a_measure(self) -> Self:
        if (self.share is None) == (self.next is None):
            raise ValueError("a fault needs either `share` or `next`")
        return self


class Shop(Shape):
    url: str = Field(pattern="^https?://")
    api_key: str


class Inbound(Shape):
    """A person writes now. WhatsApp: text, button, interactive or a whole `message` object. SMS: text.
    E-mail: `event` (unsubscribe, spamreport, open, click) about the last message to that address; with Mailgun
    and SendGrid also text, an e-mail to us; with Resend text is its subject, and unsubscribe is nothing it hears of;
    with SMTP only text and spamreport, which come by mail."""

    provider: Provider
    sender: str = Field(alias="from", min_length=3)
    account: str | None = Field(None, description="the account's id; default: the last one that wrote to this person")
    text: str | None = Field(None, max_length=4_096)
    button: dict[str, str] | None = None
    interactive: dict[str, Any] | None = None
    message: dict[str, Any] | None = None
    event: Literal["unsubscribe", "spamreport", "open", "click"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.provider in ("mailgun", "sendgrid"):
            if self.event is None and self.text is None:
                raise ValueError("an e-mail person needs `text` or `event`")
        elif self.provider == "smtp":
            if self.text is None and self.event != "spamreport":
                raise ValueError("an e-mail person needs `text`, or the `event` spamreport")
        elif self.provider == "resend":
            if self.event == "unsubscribe" or (self.event is None and self.text is None):
                raise ValueError("an e-mail person needs `text`, or `event` other than unsubscribe")
        elif self.provider in ("twilio", "messagebird"):
            if self.text is None:
                raise ValueError("an SMS needs `text`")
        elif not (self.text or self.button or self.interactive or self.message):
            raise ValueError("a WhatsApp message needs `text`, `button`, `interactive` or `message`")
        return self


class AccountBody(Shape):
    provider: Provider
    credentials: dict[str, str] = {}
    webhook_url: str | None = Field(None, pattern="^(https?://.*)?$")
    inbound_url: str | None = Field(None, pattern="^(https?://.*)?$", description="of SendGrid: its Inbound Parse")
    handshake: bool = Field(True, description="false saves a WhatsApp webhook URL without asking it first")
    messages_per_second: float | None = Field(None, gt=0)
    templates: Literal["*"] | list[dict[str, Any]] | None = None
    verified_senders: list[str] | None = None


SCRIPTS = TypeAdapter(list[PersonScript])
FAULTS = TypeAdapter(list[Fault])
