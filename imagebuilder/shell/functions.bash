# shellcheck shell=bash
# The functions that stage scripts may call, under pi-gen's names. Sourced before each prerun.sh and
# NN-run.sh; the engine has mounted the root file system at ROOTFS_DIR with all that programs in it need.

# log TEXT...: a line with the time. The engine writes it to the log, as all that scripts print.
log() {
	printf '[%(%T)T] %s\n' -1 "$*"
}

# on_chroot [ARGUMENT...]: run bash -e in the root file system; commands come from standard input.
on_chroot() {
	if [ ! -d "${ROOTFS_DIR}" ]; then
		echo "on_chroot: there is no root file system at ${ROOTFS_DIR}; does prerun.sh call copy_previous or bootstrap?" >&2
		return 1
	fi
	if ! mountpoint -q "${ROOTFS_DIR}/proc"; then
		"${MOJOMAIL_PYTHON}" -m imagebuilder.stagemounts
	fi
	(
		# Exported variables and functions come along; what belongs to the host alone, and to its locale, does not.
		enter=$(type -P chroot)
		unset TMPDIR USER LOGNAME MAIL OLDPWD PYTHONPATH VIRTUAL_ENV GNUPGHOME LANGUAGE "${!MOJOMAIL_P@}" MOJOMAIL_LAYERS
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
		export LANG=C.UTF-8 LC_ALL=C.UTF-8 PERL_HASH_SEED=0 PYTHONHASHSEED=0
		export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
		exec "$enter" "${ROOTFS_DIR}" /bin/bash -e "$@"
	)
}

# copy_previous: begin this stage with what the previous one left. Nothing is copied: a new layer lies over it.
copy_previous() {
	if [ ! -d "${PREV_ROOTFS_DIR:-}" ]; then
		echo "Previous stage rootfs not found" >&2
		return 1
	fi
	"${MOJOMAIL_PYTHON}" -m imagebuilder.stagemounts previous
}

# bootstrap [OPTION...] SUITE DIRECTORY [MIRROR]: begin this stage with a new Debian root file system, with the
# packages that debootstrap takes: those required and those important. Options are those of mmdebstrap.
bootstrap() {
	"${MOJOMAIL_PYTHON}" -m imagebuilder.stagemounts empty
	local keys=(--keyring=/usr/share/keyrings/debian-archive-keyring.gpg) key
	for key in "${STAGE_DIR}"/files/*.gpg; do
		[ -e "$key" ] && keys+=("--keyring=$key")
	done
	mmdebstrap --mode=root --architectures="${ARCH}" --variant=important --format=directory "${keys[@]}" \
		--skip=check/empty,chroot/mount/sys --include=ca-certificates \
		--components="main,contrib,non-free,non-free-firmware" "$@"
}

# unmount [DIRECTORY]: undo every mount below a directory, the innermost first.
unmount() {
	local directory target
	# The kernel's table has blanks as \040.
	directory=$(realpath -m "${1:-$PWD}")
	directory=${directory// /\\040} awk 'index($5 "/", ENVIRON["directory"] "/") == 1 { print $5 }' \
		/proc/self/mountinfo | sort -r |
		while IFS= read -r target; do
			umount "$(printf '%b' "$target")" || return 1
		done
}

unmount_image() {
	echo "unmount_image: images are put together without loop devices here; there is nothing to unmount" >&2
}

ensure_next_loopdev() {
	echo "ensure_next_loopdev: loop devices are not used here" >&2
	return 1
}

ensure_loopdev_partitions() {
	ensure_next_loopdev
}

# update_issue NAME: leave a note in the image that says what it was made with.
update_issue() {
	printf '%s %s\nGenerated using %s, %s, %s, %s\n' \
		"${PI_GEN_RELEASE}" "${IMG_DATE}" "${PI_GEN}" "${PI_GEN_REPO}" "${GIT_HASH:-}" "$1" > "${ROOTFS_DIR}/etc/rpi-issue"
}

export -f log on_chroot copy_previous bootstrap unmount unmount_image ensure_next_loopdev ensure_loopdev_partitions update_issue
