"""Names of recipients and what is behind them: the secret file `notifications`, YAML.

Tables, logs and commands know only the names; addresses, URLs and keys stay in the file.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from fraud_domain.rules.errors import RuleError
from fraud_domain.rules.yaml_source import parse_yaml
from fraud_domain.settings import Settings
from medallion_services.notifier.backoff import RefusedError

FILE = "notifications"


class Part(BaseModel):
    """A part of the file: unknown keys are errors, and errors do not show values."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Webhook(Part):
    """An address that takes JSON; with a key its body is signed."""

    url: SecretStr
    hmac_key: SecretStr | None = None


class Ntfy(Part):
    """A topic of an ntfy server, `https://server/topic`."""

    url: SecretStr
    token: SecretStr | None = None


class Recipients(Part):
    """The whole file: channel -> name -> where to send."""

    email: dict[str, SecretStr] = {}
    webhook: dict[str, Webhook] = {}
    ntfy: dict[str, Ntfy] = {}
    apprise: Annotated[dict[str, SecretStr], Field(description="URLs of Apprise")] = {}

    def email_address(self, name: str) -> str:
        """The address behind a name; a name with an @ is an address itself.

        Raises:
            RefusedError: the file does not know the name.
        """
        if name in self.email:
            return self.email[name].get_secret_value()
        if "@" in name:
            return name
        raise _unknown("email", name)

    def webhook_of(self, name: str) -> Webhook:
        """Raises RefusedError when the file does not know the name."""
        if name not in self.webhook:
            raise _unknown("webhook", name)
        return self.webhook[name]

    def ntfy_of(self, name: str) -> Ntfy:
        """Raises RefusedError when the file does not know the name."""
        if name not in self.ntfy:
            raise _unknown("ntfy", name)
        return self.ntfy[name]

    def apprise_url(self, name: str) -> str:
        """Raises RefusedError when the file does not know the name."""
        if name not in self.apprise:
            raise _unknown("apprise", name)
        return self.apprise[name].get_secret_value()


def _unknown(channel: str, name: str) -> RefusedError:
    return RefusedError(f"the secret file '{FILE}' has no {channel} recipient '{name}'; add it, then retry the row")


def read_recipients(settings: Settings) -> Recipients:
    """The secret file; empty when there is none.

    Raises:
        RuleError: the file is wrong; says the line and the key, never the value.
    """
    path = settings.secrets_dir / FILE
    if not path.exists():
        return Recipients()
    source = parse_yaml(str(path), path.read_text(encoding="utf-8"))
    try:
        return Recipients.model_validate(source.data or {})
    except ValidationError as error:
        wrong = [
            source.problem(each["loc"], f"{'.'.join(map(str, each['loc']))}: {each['msg']}")
            for each in error.errors(include_input=False)
        ]
        raise RuleError(wrong) from None
