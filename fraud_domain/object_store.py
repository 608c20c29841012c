"""Lakes in an object store: one name for Spark, another for readers without a JVM, and the keys for both.

Spark's S3A reads the secret file `s3_credentials` itself, so that no key is ever part of a configuration, a command
line or an address. It has AWS's own format:

    [default]
    aws_access_key_id = ...
    aws_secret_access_key = ...
"""

from configparser import ConfigParser, MissingSectionHeaderError
from dataclasses import dataclass, field
from pathlib import Path

from fraud_domain.settings import MissingSecretError, Settings
from fraud_domain.tables import TableSpec, location

_SECRET = "s3_credentials"  # noqa: S105 - the name of a file
_PROFILE = "default"
_SPARKS_SCHEME, _OTHERS_SCHEME = "s3a://", "s3://"


def is_local(uri: str) -> bool:
    """Whether a root of the settings, or what lies below it, is on this machine's file system."""
    return "://" not in uri


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys of an object store."""

    key_id: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A Delta table as delta-rs wants it named, with the options it needs to get there."""

    uri: str
    options: dict[str, str] = field(repr=False)


def credentials_file(settings: Settings) -> Path:
    """The secret file with the keys; readable by its owner only, at the same path on every machine of a cluster."""
    return settings.secrets_dir / _SECRET


def credentials(settings: Settings) -> Credentials:
    """The keys of the object store.

    Raises:
        MissingSecretError: there is no such file, or a key is not in it.
    """
    path = credentials_file(settings)
    wanted = (
        f"write the object store's keys to {path} (mode 0600): a line [{_PROFILE}], then aws_access_key_id = ... and"
        " aws_secret_access_key = ..."
    )
    parser = ConfigParser(interpolation=None)
    try:
        if not parser.read(path, encoding="utf-8"):
            raise MissingSecretError(f"{settings.lake_root} needs keys, and there are none; {wanted}")
        profile = parser[_PROFILE]
        return Credentials(profile["aws_access_key_id"], profile["aws_secret_access_key"])
    except (KeyError, MissingSectionHeaderError):
        raise MissingSecretError(f"{path} does not have both keys; {wanted}") from None


def delta_place(settings: Settings, spec: TableSpec) -> Place:
    """Where a reader without a JVM finds a table.

    Raises:
        MissingSecretError: the lake is in an object store and its keys are missing.
    """
    path = location(settings.lake_root, spec)
    if not path.startswith(_SPARKS_SCHEME):
        return Place(path, {})
    keys, store = credentials(settings), settings.s3
    options = {
        "aws_access_key_id": keys.key_id,
        "aws_secret_access_key": keys.secret_key,
        "aws_region": store.region,
        "aws_virtual_hosted_style_request": str(not store.path_style).lower(),
        # Its commits, too, are the store's to grant: compaction beside a stream loses nothing.
        "aws_conditional_put": "etag",
    }
    if store.endpoint:
        options["aws_endpoint_url"] = store.endpoint
        options["aws_allow_http"] = str(store.endpoint.startswith("http://")).lower()
    return Place(_OTHERS_SCHEME + path.removeprefix(_SPARKS_SCHEME), options)
