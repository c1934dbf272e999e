"""One single send: its holds, its retries, its unknown outcome and its fallback."""

from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import MessageActivities
    from app.contracts.message import MESSAGE_WORKFLOW, MessageInput, MessageResult, SendMessage, SendMessageResult
    from workflows.options import SEND, standing_still


@workflow.defn(name=MESSAGE_WORKFLOW)
class MessageWorkflow:
    """Has the message sent until it is out, refused or failed on every channel.

    An unknown outcome is waited out: a webhook or a look-up resolves it, or after the deadline the message's policy.
    """

    def __init__(self) -> None:
        self.changed = False

    @workflow.run
    async def run(self, input: MessageInput) -> MessageResult:
        told = ""
        while True:
            self.changed = False
            if not told:
                workflow.set_current_details("Sending.")
            result = await workflow.execute_activity_method(
                MessageActivities.send_message,
                SendMessage(tenant_id=input.tenant_id, message_id=input.message_id, told=told),
                **SEND,
            )
            told = result.told
            workflow.set_current_details(standing_still(result.words) if told else _words(result))
            if told:
                continue
            if result.hold_until is not None:
                await self._wait_until(result.hold_until, lambda: self.changed)
            elif not self.changed:
                return MessageResult(outcome=result.outcome)

    @workflow.signal
    def message_changed(self) -> None:
        """A report of the provider settled the message: look at it again."""
        self.changed = True

    async def _wait_until(self, instant: datetime, wake: Callable[[], bool]) -> None:
        try:
            await workflow.wait_condition(wake, timeout=max(instant - workflow.now(), timedelta(0)))
        except TimeoutError:
            return  # the instant has come


def _words(result: SendMessageResult) -> str:
    over = f" over {result.channel}" if result.channel else ""
    why = f" ({result.reason})" if result.reason else ""
    until = f" until {result.hold_until:%Y-%m-%d %H:%M:%S} UTC" if result.hold_until else ""
    return f"{result.outcome}{over}{why}{until}."
