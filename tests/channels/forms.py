"""Forms with files, as an independent library writes them."""

import io
from collections.abc import Mapping, Sequence

from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.test import EnvironBuilder

from app.channels.base import WebhookRequest
from tests.channels.samples import PUBLIC_URL, webhook

File = tuple[str, str, bytes, str]  # its field, its name, its bytes and its type


def form(fields: Mapping[str, str] | Sequence[tuple[str, str]], *files: File, url: str = PUBLIC_URL) -> WebhookRequest:
    data: MultiDict[str, object] = MultiDict(fields)
    for name, filename, content, kind in files:
        data.add(name, FileStorage(io.BytesIO(content), filename, name, kind))
    builder = EnvironBuilder(method="POST", data=data, content_type="multipart/form-data")
    environ = builder.get_environ()
    builder.close()
    with environ["wsgi.input"] as stream:
        return webhook(stream.read(), url, content_type=environ["CONTENT_TYPE"])
