"""Names of the environment variables that stage scripts get and no setting stands for."""

from __future__ import annotations

PI_GEN_DEFAULTS = {
    "PI_GEN": "imagebuilder",
    "PI_GEN_REPO": "MojoMail",
    "PI_GEN_RELEASE": "MojoMail",
    "ENABLE_CLOUD_INIT": "0",
    "PASSWORDLESS_SUDO": "0",
    "DISABLE_FIRST_BOOT_USER_RENAME": "0",
    "DEPLOY_COMPRESSION": "xz",
    "COMPRESSION_LEVEL": "6",
}
"""Variables of pi-gen with the values they have here; `variables` in a profile may change them."""

ENGINE_VARIABLES = frozenset(
    """
    BASE_DIR SCRIPT_DIR WORK_DIR DEPLOY_DIR LOG_FILE STAGE STAGE_DIR STAGE_WORK_DIR SUB_STAGE_DIR ROOTFS_DIR
    PREV_STAGE PREV_STAGE_DIR PREV_ROOTFS_DIR EXPORT_DIR EXPORT_ROOTFS_DIR EXPORT_CONFIG_DIR STAGE_LIST CLEAN CONTINUE
    IMG_NAME IMG_DATE IMG_FILENAME IMG_SUFFIX ARCHIVE_FILENAME ARCH GIT_HASH PUBKEY_ONLY_SSH SOURCE_DATE_EPOCH
    QUILT_PATCHES QUILT_NO_DIFF_INDEX QUILT_NO_DIFF_TIMESTAMPS QUILT_REFRESH_ARGS CAPSH_ARG SETFCAP
    PATH HOME PWD SHELL USER LOGNAME TMPDIR LANG LANGUAGE LC_ALL DEBIAN_FRONTEND LD_PRELOAD LD_LIBRARY_PATH IFS
    BASH_ENV ENV
    """.split()  # noqa: SIM905 - a list of words reads better
)
"""What the engine itself gives to scripts; a profile may not."""

SECRET_VARIABLES = frozenset({"FIRST_USER_PASS", "WPA_PASSWORD"})
"""Variables of pi-gen that would bake a secret into the image; a profile may not give them."""
