"""Options, capabilities and limits of AWS Secrets Manager."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from credmgr.backends.aws_secrets_manager.options import LIMITS, AwsOptions, mistakes
from credmgr.errors import PluginError
from credmgr.plugins.backend import Capability, Mistake
from credmgr.plugins.context import PluginContext

if TYPE_CHECKING:
    from credmgr.backends.aws_secrets_manager.session import AwsBackend


class AwsBackendFactory:
    """Opens sessions with AWS Secrets Manager in one region of one account."""

    options = AwsOptions
    capabilities = frozenset({Capability.CAS, Capability.VERSIONS, Capability.SOFT_DELETE})
    limits = LIMITS

    def validate(self, options: AwsOptions) -> Iterable[Mistake]:
        """Addresses, regions, tags, durations, and what excludes each other."""
        yield from mistakes(options)

    def open(self, options: AwsOptions, context: PluginContext) -> "AwsBackend":
        """A session; it signs in with its first call.

        Raises:
            PluginError: boto3 is not installed.
            ConfigError: A reference leads nowhere, no region or profile is to be found, or the CA
                bundle cannot be read.
        """
        if find_spec("boto3") is None:
            raise PluginError("boto3 is not installed", hint="install credmgr[aws]")
        from credmgr.backends.aws_secrets_manager.session import (  # noqa: PLC0415
            AwsBackend,  # botocore takes 100 ms, which nobody pays who has no such backend
        )

        return AwsBackend(options, context)
