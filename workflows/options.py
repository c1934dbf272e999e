"""Timeouts and retries by kind of work. Retries never end: work waits for a database or a provider to come back."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

_PATIENT = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2, maximum_interval=timedelta(seconds=30)
)

# one short transaction
DATABASE = workflow.ActivityConfig(start_to_close_timeout=timedelta(seconds=30), retry_policy=_PATIENT)

# one message: several channels may be tried, each within the provider's timeout
SEND = workflow.ActivityConfig(
    start_to_close_timeout=timedelta(minutes=5), heartbeat_timeout=timedelta(seconds=15), retry_policy=_PATIENT
)

# the same, as part of a workflow task
SEND_AT_ONCE = workflow.LocalActivityConfig(
    start_to_close_timeout=timedelta(minutes=1), retry_policy=RetryPolicy(maximum_attempts=1)
)

# many messages or many workflows; lasts as long as the sender's limit makes it, and shows by heartbeats that it lives
BULK = workflow.ActivityConfig(
    start_to_close_timeout=timedelta(days=7), heartbeat_timeout=timedelta(seconds=15), retry_policy=_PATIENT
)


def described(config: workflow.ActivityConfig, summary: str) -> workflow.ActivityConfig:
    """The same kind of work, with a line for the engine's UI."""
    changed = config.copy()
    changed["summary"] = summary
    return changed


def prioritized(config: workflow.ActivityConfig, priority: Priority) -> workflow.ActivityConfig:
    changed = config.copy()
    changed["priority"] = priority
    return changed


def standing_still(words: str) -> str:
    """For the engine's UI: a sender waits for a person."""
    return f"Standing still: {words}. It goes on by itself once the channel setting or the account is mended."
