"""Stages that use everything pi-gen's stages may use, and write what they find to /record in the root."""

from __future__ import annotations

from collections.abc import Mapping

from tests.build.project import Project

PI_GEN_VARIABLES = """
PI_GEN PI_GEN_REPO PI_GEN_RELEASE ARCH RELEASE IMG_NAME USE_QEMU IMG_DATE IMG_FILENAME ARCHIVE_FILENAME
BASE_DIR SCRIPT_DIR WORK_DIR DEPLOY_DIR DEPLOY_COMPRESSION COMPRESSION_LEVEL LOG_FILE TARGET_HOSTNAME FIRST_USER_NAME
DISABLE_FIRST_BOOT_USER_RENAME PASSWORDLESS_SUDO ENABLE_SSH PUBKEY_ONLY_SSH LOCALE_DEFAULT KEYBOARD_KEYMAP
KEYBOARD_LAYOUT TIMEZONE_DEFAULT GIT_HASH STAGE STAGE_DIR STAGE_WORK_DIR PREV_STAGE PREV_STAGE_DIR ROOTFS_DIR
PREV_ROOTFS_DIR QUILT_NO_DIFF_INDEX QUILT_NO_DIFF_TIMESTAMPS QUILT_REFRESH_ARGS ENABLE_CLOUD_INIT STAGE_LIST
EXPORT_CONFIG_DIR
""".split()  # noqa: SIM905 - a list of words reads better
"""What build.sh exports with a value while it runs a stage."""

PI_GEN_FUNCTIONS = (
    *("bootstrap", "copy_previous", "ensure_loopdev_partitions", "ensure_next_loopdev", "log", "on_chroot"),
    *("unmount", "unmount_image", "update_issue"),
)
"""What scripts/common exports."""

STATE = """\
state() {
	for package in libjs-sprintf-js javascript-common cl-anaphora cl-rt libjs-spin.js; do
		[ ! -e "$1/var/lib/dpkg/info/$package.list" ] || printf ' %s' "$package"
	done
	[ ! -e "$1/etc/patched" ] || printf ' patched'
}
"""

MAKE = """\
--- /dev/null
+++ stage/rootfs/etc/patched
@@ -0,0 +1,2 @@
+made
+kept
"""
CHANGE = """\
--- stage.orig/rootfs/etc/patched
+++ stage/rootfs/etc/patched
@@ -1,2 +1,2 @@
-made
+changed
 kept
"""
MORE = """\
--- stage.orig/rootfs/etc/patched
+++ stage/rootfs/etc/patched
@@ -1,2 +1,3 @@
 changed
 kept
+more
"""

DEBCONF = """\
# The shell fills in variables, also in a comment: ${RELEASE}
tzdata tzdata/Areas select ${TIMEZONE_DEFAULT%/*}
tzdata tzdata/Zones/Asia select ${TIMEZONE_DEFAULT#*/}
"""

ORDER = {
    "00-debconf": DEBCONF,
    "00-packages-nr": "# libjs-merge\nlibjs-sprintf-js   # recommends javascript-common\ntzdata\n",
    "00-packages": "cl-anaphora\n#libjs-traverse\n\n   # recommends cl-rt\n",
    "00-patches/series": "make.diff\nchange.diff  # a comment\n",
    "00-patches/make.diff": MAKE,
    "00-patches/change.diff": CHANGE,
    "00-run.sh*": (
        f"#!/bin/bash -e\n{STATE}"
        'echo "00-run.sh:$(state "${ROOTFS_DIR}")" >> "${ROOTFS_DIR}/record/order"\n'
        'cat files/own ../files/shared "${STAGE_DIR}/files/shared" > "${ROOTFS_DIR}/record/files"\n'
    ),
    "00-run-chroot.sh": (
        f'{STATE}echo "00-run-chroot.sh:$(state "")" >> /record/order\n'
        "grep -E ' install (libjs|cl-)' /var/log/dpkg.log | cut -d ' ' -f 4 > /record/installed\n"
    ),
    "01-packages-nr": "libjs-spin.js\n",
    "01-patches/series": "more.diff\n",
    "01-patches/more.diff": MORE,
    "01-run-chroot.sh": f'{STATE}echo "01-run-chroot.sh:$(state "")" >> /record/order\n',
    "09-run.sh*": '#!/bin/bash -e\necho 09-run.sh >> "${ROOTFS_DIR}/record/order"\n',
    "10-run.sh": '#!/bin/bash -e\necho "10-run.sh, which cannot be run" >> "${ROOTFS_DIR}/record/order"\n',
    "99-run.sh*": '#!/bin/sh -e\necho 99-run.sh >> "${ROOTFS_DIR}/record/order"\n',
    "99-run-chroot.sh": "echo 99-run-chroot.sh >> /record/order\n",
    "run.sh*": '#!/bin/bash -e\necho "run.sh, which has no number" >> "${ROOTFS_DIR}/record/order"\n',
    "files/own": "of the sub-stage\n",
}

PRERUN = r"""#!/bin/bash -e
[ "$PWD" = "${STAGE_DIR}" ] && cwd="its stage"
if [ ! -d "${ROOTFS_DIR}" ]; then
	copy_previous
fi
mkdir -p "${ROOTFS_DIR}/record"
echo "prerun.sh in $cwd" >> "${ROOTFS_DIR}/record/order"
on_chroot << \EOF
echo "prerun.sh's on_chroot" >> /record/order
EOF
"""

HOST = r"""#!/bin/bash -e
record="${ROOTFS_DIR}/record"
env > "$record/env"
umask > "$record/umask"
[ "$PWD" = "${STAGE_DIR}/02-host" ] && echo "the sub-stage" > "$record/cwd"
if read -r line; then echo "$line"; else echo nothing; fi > "$record/stdin"
compgen -A function | sort > "$record/functions"

log "a line of the log" > "$record/log"
update_issue a-stage

shout() { echo "$* from an exported function"; }
export -f shout
export OWN_VARIABLE="of the script's,
on two lines"
export TMPDIR=/nowhere/on/the/host
on_chroot << EOF > "$record/on-chroot"
echo "heredoc by \$(id -u) in \$PWD with $(basename "$PWD")"
shout hello
echo "\$OWN_VARIABLE"
echo "\$STAGE \$IMG_NAME"
echo "tmpdir \${TMPDIR:-none} home \$HOME"
EOF
on_chroot -c 'echo "arguments: $0 $1"' name 'and more' >> "$record/on-chroot"
echo 'echo "a script with $1"' > "${ROOTFS_DIR}/root/script"
on_chroot /root/script argument >> "$record/on-chroot"
echo 'echo "from a pipe"' | on_chroot >> "$record/on-chroot"
code=0
on_chroot << \EOF >> "$record/on-chroot" || code=$?
echo before
(exit 7)
echo "not reached"
EOF
echo "exit $code" >> "$record/on-chroot"
on_chroot << \EOF > "$record/mounts"
for place in /proc/self/status /dev/null /dev/urandom /dev/pts/ptmx; do [ ! -e $place ] || echo $place; done
for place in /proc /sys /dev /dev/pts /run /tmp; do ! mountpoint -q $place || echo "$place is mounted"; done
touch /tmp/left /run/left
EOF

mount -t tmpfs none "${ROOTFS_DIR}/mnt"
mkdir "${ROOTFS_DIR}/mnt/below"
mount -t tmpfs none "${ROOTFS_DIR}/mnt/below"
unmount "${ROOTFS_DIR}/mnt"
if mountpoint -q "${ROOTFS_DIR}/mnt"; then echo mounted; else echo "not mounted"; fi > "$record/unmount"
mount -t tmpfs none "${ROOTFS_DIR}/srv"
echo "not for the image" > "${ROOTFS_DIR}/srv/left"
sleep 1000 &

echo "from 02-host" > "${STAGE_WORK_DIR}/note"
install -o 1000 -g 1000 -m 4750 /dev/null "$record/owned"
"""

CHROOT = r"""
mkdir -p /record/chroot
pwd > /record/chroot/cwd
echo "$0 $#" > /record/chroot/zero
case $- in *e*) echo "bash -e" ;; esac > /record/chroot/options
printf '%s\n' "$STAGE $(basename "$ROOTFS_DIR") $HOME $RELEASE" > /record/chroot/env
read -r next
what the script itself reads is its own next line
echo "$next" > /record/chroot/stdin
stat -c '%u:%g %a' /record/owned > /record/chroot/owned
"""

SECOND = r"""#!/bin/bash -e
record="${ROOTFS_DIR}/record/second"
mkdir "$record"
echo "$STAGE after $PREV_STAGE" > "$record/stage"
[ "$PREV_STAGE_DIR" = "$(dirname "$STAGE_DIR")/first" ] && echo "first's directory" > "$record/prev-stage-dir"
[ "$PREV_ROOTFS_DIR" = "$WORK_DIR/first/rootfs" ] && cp "$PREV_ROOTFS_DIR/record/order" "$record/prev-rootfs"
[ "$STAGE_WORK_DIR/rootfs" = "$ROOTFS_DIR" ] && [ "$STAGE_WORK_DIR" = "$WORK_DIR/$STAGE" ] && echo yes > "$record/work"
rm "${ROOTFS_DIR}/record/doomed"
mkdir -p "$DEPLOY_DIR"
echo "for the user" > "$DEPLOY_DIR/from-a-stage.txt"
"""

OWN = r"""#!/bin/bash -e
if [ ! -d "${ROOTFS_DIR}" ]; then
	mkdir -p "${ROOTFS_DIR}"
	tar -C "${PREV_ROOTFS_DIR}" --exclude=./usr/lib/modules --exclude=./usr/lib/firmware -cf - . |
		tar -C "${ROOTFS_DIR}" -xpf -
fi
on_chroot << \EOF
echo "a root of its own" > /record/own
EOF
"""

EXPORT = """\
IMG_SUFFIX="-early"
if [ "${USE_QEMU}" = "1" ]; then
	export IMG_SUFFIX="${IMG_SUFFIX}-qemu"
fi
"""


def record_everything(project: Project, fresh: Mapping[str, str]) -> None:
    """Write the stages and the profile into a project. `fresh` are files that each stage gets."""
    project.stage(
        "first",
        {
            **fresh,
            **{f"00-order/{name}": content for name, content in ORDER.items()},
            "prerun.sh*": PRERUN,
            "EXPORT_IMAGE": EXPORT,
            "EXPORT_NOOBS": 'NOOBS_NAME="A name"\n',
            "files/shared": "of the stage\n",
            "01-skipped/SKIP": "",
            "01-skipped/00-run.sh*": '#!/bin/bash -e\necho "a skipped sub-stage" >> "${ROOTFS_DIR}/record/order"\n',
            "02-host/00-run.sh*": HOST,
            "03-chroot/00-run-chroot.sh": CHROOT,
            "03-chroot/01-run.sh*": '#!/bin/bash\nfalse\ncp "${STAGE_WORK_DIR}/note" "${ROOTFS_DIR}/record/note"\n',
            "04-empty/": "",
            "unnumbered/00-run-chroot.sh": "echo a sub-stage without a number >> /record/order\ntouch /record/doomed\n",
        },
    )
    project.stage("second", {**fresh, "00-a/00-run.sh*": SECOND})
    project.stage("third", {**fresh, "prerun.sh*": OWN, "00-a/00-run-chroot.sh": "echo and more >> /record/own\n"})
    project.stage(
        "fourth",
        {
            "EXPORT_IMAGE": "IMG_SUFFIX=-never\n",
            "SKIP_IMAGES": "",
            "00-a/00-run-chroot.sh": "echo fourth over third > /record/fourth\n",
        },
    )
    project.stage("fifth", {"00-a/00-run-chroot.sh": "echo fifth > /record/fifth\n"})
    project.configure(["first", "second", "third", "fourth", "fifth"], strict=False)
