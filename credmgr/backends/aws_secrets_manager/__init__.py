"""AWS Secrets Manager through boto3, which is imported only when a session opens."""

from credmgr.backends.aws_secrets_manager.factory import AwsBackendFactory
from credmgr.backends.aws_secrets_manager.options import AssumeRole, AwsOptions, ValueForm

__all__ = ["AssumeRole", "AwsBackendFactory", "AwsOptions", "ValueForm"]
