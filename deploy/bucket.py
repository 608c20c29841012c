"""Make the buckets of lake and checkpoints in the object store; the service `minio-init`. Safe to repeat."""

from urllib.parse import urlsplit

from pyarrow.fs import S3FileSystem

from fraud_domain.object_store import credentials
from fraud_domain.settings import Settings

if __name__ == "__main__":
    settings = Settings()
    keys = credentials(settings)
    store = S3FileSystem(
        access_key=keys.key_id,
        secret_key=keys.secret_key,
        endpoint_override=settings.s3.endpoint,
        region=settings.s3.region,
        allow_bucket_creation=True,
    )
    for root in (settings.lake_root, settings.checkpoint_root):
        if root.startswith("s3a://"):
            store.create_dir(urlsplit(root).netloc)
