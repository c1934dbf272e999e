"""JSON pointers (RFC 6901) into a request body, and the error that carries every bad field at once."""

from app.errors import FieldError, InvalidInput


def child(pointer: str, key: str | int) -> str:
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


class Problems:
    """Collects bad fields, so that one answer names them all."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, pointer: str, detail: str) -> None:
        self.errors.append(FieldError(pointer=pointer, detail=detail))

    def unknown_keys(self, value: dict[str, object], allowed: tuple[str, ...], pointer: str) -> None:
        for key in value:
            if key not in allowed:
                self.add(child(pointer, key), f"Unknown field {key!r}; allowed are {', '.join(allowed)}.")

    def raise_any(self) -> None:
        """Raise InvalidInput when anything was added."""
        if self.errors:
            raise InvalidInput(self.errors[0].detail, errors=self.errors)
