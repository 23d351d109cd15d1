"""The JSON Schemas of the notifiers' options."""

from __future__ import annotations

from typing import Any, Final

SIGNATURE = "X-Impex-Signature-256"
WEBHOOK: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "url": {
            "title": "Address",
            "description": "URL to post the summary to. It may hold a secret, so it must be a "
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
            "description": "Key to sign the body with HMAC-SHA256, in the header "
            f"{SIGNATURE}: sha256=…; the receiver has the same. It must be a reference.",
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
            "description": "Apprise URLs of the services, with credentials; each a reference.",
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
