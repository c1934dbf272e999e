"""Where log lines go: one line each on standard error, as text for people or JSON for machines."""

import inspect
import logging
import sys

from loguru import logger

from app.settings import Settings

TEXT = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} {name}: {message}"


class _ToLoguru(logging.Handler):
    """Lines of libraries that use the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        depth, frame = 2, inspect.currentframe()
        while frame and (depth < 3 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(record.levelname, record.getMessage())


def configure(settings: Settings) -> None:
    """No value of a variable is written with a traceback: it might be somebody's address."""
    logger.remove()
    logger.add(
        sys.stderr,
        level=settings.log_level.upper(),
        format=TEXT,
        serialize=settings.log_json,
        backtrace=False,
        diagnose=False,
    )
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)
