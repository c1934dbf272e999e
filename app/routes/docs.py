"""The API reference at `/docs`: Scalar, with its script served from here, so that no other host is ever asked."""

from pathlib import Path

from fastapi import APIRouter
from scalar_fastapi import AgentScalarConfig, get_scalar_api_reference
from starlette.responses import FileResponse, Response

router = APIRouter(include_in_schema=False)

SCRIPT = Path(__file__).parent.parent / "static" / "scalar.js"
# what the page may load; with this even a changed script could not call another host
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


@router.get("/docs")
async def reference() -> Response:
    page = get_scalar_api_reference(
        openapi_url="/openapi.json",
        title="Relay API",
        scalar_js_url="/docs/scalar.js",
        scalar_favicon_url="data:,",
        with_default_fonts=False,
        telemetry=False,
        show_developer_tools="never",
        order_schema_properties_by="preserve",
        hide_client_button=True,
        agent=AgentScalarConfig(disabled=True),
    )
    page.headers["Content-Security-Policy"] = POLICY
    return page


@router.get("/docs/scalar.js")
async def script() -> FileResponse:
    return FileResponse(SCRIPT, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})
