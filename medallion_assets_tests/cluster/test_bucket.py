"""`deploy/bucket.py`, which the container `minio-init` runs, on a real object store."""

import os
import subprocess
import sys

import pytest
from pyarrow.fs import FileType

from fraud_domain.settings import PROJECT_ROOT
from medallion_assets_tests import object_store
from medallion_services.embedded.throwaway import running

pytestmark = pytest.mark.cluster


def test_buckets_of_lake_and_checkpoints_are_made_and_stay() -> None:
    with object_store.s3_settings() as settings:
        server = object_store.program(settings)
        if server is None:
            pytest.skip(object_store.BUILD)
        with running(settings, object_store.component(settings, server)):
            environment = {
                "PYTHONPATH": str(PROJECT_ROOT),
                "MEDALLION_DATA_DIR": str(settings.data_dir),
                "MEDALLION_S3__ENDPOINT": settings.s3.endpoint,
                "MEDALLION_LAKE_URI": "s3a://made-by-init/lake",
                "MEDALLION_CHECKPOINT_URI": "s3a://made-too/checkpoints",
            }
            for _ in range(2):
                done = subprocess.run(
                    [sys.executable, str(PROJECT_ROOT / "deploy" / "bucket.py")],
                    env=os.environ | environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
            found = object_store.files(settings).get_file_info(["made-by-init", "made-too"])
            assert [each.type for each in found] == [FileType.Directory] * 2
