"""What an error of a store means for the user: one short line that says what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from obstore import exceptions

from spark_impex_runner.errors import StateError, StateUnavailableError
from spark_impex_runner.object_store.clients import one_line

if TYPE_CHECKING:
    from spark_impex_runner.object_store.address import Address

# What a bucket, a container or an account says that is not there.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist", "container does not")
# What obstore says without an account or a key: it asks a machine of the cloud for a token.
_NO_CREDENTIALS = ("Account must be specified", "169.254.169.254", "metadata.google.internal")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "RequestExpired", "token has expired")
_WRONG_KEY = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
    "AuthenticationFailed",
    "AuthenticationRequired",
    "401 Unauthorized",
)
_WRONG_REGION = ("Received redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint")
# What comes before an error of AWS's own tools, such as that of a login that has expired.
_PROVIDER = "External AWS credential provider: "
_EXPECTED_REGION = re.compile(r"expecting '([\w-]+)'")
_ENDPOINTS = {
    "s3": "AWS_ENDPOINT_URL_S3",
    "az": "AZURE_STORAGE_ENDPOINT",
    "gs": "STORAGE_EMULATOR_HOST",
}
# The host of the request that got no reply.
_HOST = re.compile(r"https?://([^/?#\s]+)")
# What obstore says of its request before the store's reply.
_REQUEST = re.compile(r"^.*(?:non-2xx status code: | - (?=[A-Z]))")
# Replies that every repetition would have: wrong settings. All others may pass.
_PERMANENT = re.compile(r"status code: (?:4(?!08|29)\d\d|501)|Received redirect|builder error")
_LONGEST = 120


def is_bucket_missing(error: Exception) -> bool:
    """Return whether it is not only an object that is not there."""
    return any(each in str(error) for each in _NO_BUCKET)


def explained(error: Exception, address: Address) -> StateError:
    """Return the error that a user sees; one that may pass is a ``StateUnavailableError``."""
    text = one_line(error)
    known = _explanation(error, text, address)
    message = f"{address}: {known or _REQUEST.sub('', text)[:_LONGEST]}"
    if known or _PERMANENT.search(text):
        return StateError(message)
    if "error sending request" in text:
        host = _HOST.search(text)  # not in one that contains a secret
        return StateUnavailableError(
            f"{address}: {host[1] if host else 'the store'} does not reply; check the network, and "
            f"the endpoint ({_ENDPOINTS[address.scheme]})"
        )
    return StateUnavailableError(f"{message}; run the same command again")


def _explanation(error: Exception, text: str, address: Address) -> str:
    """Return what is wrong with the settings and what to do; empty if nothing is known."""
    credentials, region = _CREDENTIALS[address.scheme], _EXPECTED_REGION.search(text)
    kind = "container" if address.scheme == "az" else "bucket"
    setting = f"AWS_REGION={region[1]}" if region else "AWS_REGION"
    known = (
        (_NO_BUCKET, f"there is no {kind} {address.bucket}; create it, or correct --state"),
        (_NO_CREDENTIALS, f"no credentials were found; set {credentials}"),
        (_EXPIRED, "the credentials have expired; renew them, and run the same command again"),
        (_WRONG_KEY, f"the store refuses these credentials; check {credentials}"),
        (_WRONG_REGION, f"the bucket is in another region; set {setting}"),
    )
    for parts, explanation in known:
        if any(each in text for each in parts):
            return explanation
    if _PROVIDER in text:
        return f"{text.partition(_PROVIDER)[2][:_LONGEST]}; renew the credentials"
    if isinstance(error, exceptions.PermissionDeniedError) or "403 Forbidden" in text:
        return (
            f"access denied{_action(text)}; these credentials need permission to read, write and "
            "list objects there"
        )
    return ""


def _action(text: str) -> str:
    """Return what was denied: a text such as `` to write``."""
    if "list request" in text:
        return " to list objects"
    found = re.search(r"performing (GET|PUT) ", text)
    return {"GET": " to read", "PUT": " to write"}[found[1]] if found else ""
