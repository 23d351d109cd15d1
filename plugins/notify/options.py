"""What a manifest may say to the notifiers, as JSON Schemas."""

from __future__ import annotations

from typing import Any, Final

SIGNATURE = "X-Impex-Signature-256"
WEBHOOK: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {
            "title": "Address",
            "description": "Where the summary is posted. Whoever knows it can use it: it must be a "
            "reference such as ${env:NAME} or ${file:/path}.",
            "type": "string",
            "x-secret": True,
            "examples": ["${env:HOOK_URL}"],
        },
        "headers": {
            "title": "Headers",
            "description": "Further headers of the request; each must be a reference.",
            "type": "object",
            "additionalProperties": {
                "title": "Header",
                "description": "The header's value.",
                "type": "string",
                "x-secret": True,
            },
            "examples": [{"Authorization": "${env:HOOK_AUTHORIZATION}"}],
        },
        "signing_key": {
            "title": "Signing key",
            "description": "Signs the body with HMAC-SHA256: the receiver, who has the same key, "
            f"finds {SIGNATURE}: sha256=… among the headers. It must be a reference.",
            "type": "string",
            "x-secret": True,
            "examples": ["${env:HOOK_KEY}"],
        },
        "verify_tls": {
            "title": "Verify TLS",
            "description": "true, false, or the path of a CA bundle, relative to the manifest.",
            "type": ["boolean", "string"],
            "minLength": 1,
            "x-form": "true, false or the path of a CA bundle",
            "x-path": "read",
            "default": True,
            "examples": ["ca.pem"],
        },
    },
    "required": ["url"],
}
APPRISE: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "urls": {
            "title": "Addresses",
            "description": "Services as Apprise writes them, with credentials; each a reference.",
            "type": "array",
            "items": {
                "title": "Address",
                "description": "One service, such as slack://… or mailtos://…; a reference.",
                "type": "string",
                "x-secret": True,
            },
            "minItems": 1,
            "examples": [["${env:SLACK_URL}"]],
        },
    },
    "required": ["urls"],
}
