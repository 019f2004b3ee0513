# shellcheck shell=bash
# Bare Debian roots to try things in; to be sourced. Needs root. The script that sources it runs in a mount namespace of
# its own, and everything is taken down when it ends, however it ends.
[ -n "${IN_A_NAMESPACE:-}" ] || IN_A_NAMESPACE=1 exec unshare -m "$0" "$@"
cache=${FOREBAY_TEST_CACHE:-$HOME/.cache/forebay-tests}
suite=${FOREBAY_TEST_SUITE:-bookworm}
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
roots=$(mktemp -d "${TMPDIR:-/var/tmp}/forebay-roots-XXXXXX")

take_down() {
	local at
	while read -r _ at _; do
		[[ $at == "$roots"/* ]] && umount -l "$at"
	done < <(tac /proc/self/mounts)
	rm -rf --one-file-system "$roots"
}
trap take_down EXIT
trap 'exit 130' INT TERM

# One run at a time: they keep packages in the same place, which apt locks without waiting.
mkdir -p "$cache"
exec 8>"$cache/$suite.lock"
flock 8

# The base system with make, as a tarball: made once, again when it is a week old.
base_tarball() {
	local tarball=$cache/$suite-base.tar
	mkdir -p "$cache"
	if [ -z "$(find "$tarball" -mtime -7 2>/dev/null)" ]; then
		debootstrap --variant=minbase --include=make "$suite" "$roots/base" >"$roots/base.log" 2>&1 || {
			tail -n 20 "$roots/base.log" >&2
			return 1
		}
		rm -rf "$roots"/base/var/cache/apt/archives/*.deb
		tar -C "$roots/base" -cf "$tarball.$$" . && mv "$tarball.$$" "$tarball"
		rm -rf "$roots/base"
	fi
	echo "$tarball"
}

# new_root NAME: a root of that name below $roots, with the network's resolver and packages kept from earlier runs.
new_root() {
	local root=$roots/$1 tarball
	tarball=$(base_tarball) || return
	mkdir -p "$root" "$cache/$suite-archives/partial"
	tar -C "$root" -xf "$tarball"
	mkdir -p "$root/proc" "$root/dev"
	cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
	echo "deb http://deb.debian.org/debian-security $suite-security main" >>"$root/etc/apt/sources.list"
	furnish "$root"
	mount --bind "$cache/$suite-archives" "$root/var/cache/apt/archives"
	printf '%s\n' 'APT::Keep-Downloaded-Packages "true";' 'Acquire::Retries "5";' >"$root/etc/apt/apt.conf.d/99keep"
}

furnish() {
	mount -t proc proc "$1/proc"
	mount --rbind /dev "$1/dev"
	mount --make-rslave "$1/dev"
}

# inside ROOT COMMAND...: as root, with a clean environment.
inside() {
	local root=$1
	shift
	env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
		TERM=dumb ${http_proxy:+http_proxy="$http_proxy"} chroot "$root" "$@"
}

# What the tree consists of, as somebody who clones it gets it, with what is not committed yet.
copy_tree() {
	mkdir -p "$1"
	git -C "$tree" ls-files -z --cached --others --exclude-standard |
		(cd "$tree" && tar --null --ignore-failed-read -T - -cf - 2>/dev/null) | tar -C "$1" -xf -
}
