# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts share.  Source it from a bash script that sits in scripts/
# or anywhere below the checkout.

set -euo pipefail
export LC_ALL=C
umask 022

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/versions
. "$top/scripts/versions"

build=$top/build
logs=$build/logs
cache=${VFIO_NESTING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vfio-nesting}
# shellcheck disable=SC2034
jobs=${JOBS:-$(nproc)}
mkdir -p "$logs" "$cache"

say()
{
	printf '%s\n' "$*" >&2
}

# die WHAT [WHAT TO DO]...: one line for what happened, more for the way out
die()
{
	printf '%s: %s\n' "${0##*/}" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '    %s\n' "$@" >&2
	exit 1
}

# use_arch ARCH: what QEMU and compilers call it, the prefix of a compiler that
# is not for this machine, the kernel's image, and where things built for it
# go.  Those of x86_64 have no name of their own.
# shellcheck disable=SC2034
use_arch()
{
	arch=$1 suffix='' user=$build cross=''
	case $arch in
	x86_64)	arch_qemu=x86_64 image=arch/x86/boot/bzImage ;;
	arm64)	arch_qemu=aarch64 image=arch/arm64/boot/Image
		suffix=-arm64 user=$build/arm64 ;;
	*)	die "ARCH=$arch: it is x86_64 or arm64" ;;
	esac
	[ "$(uname -m)" = "$arch_qemu" ] || cross=$arch_qemu-linux-gnu-
}
# of this machine, if nobody says
use_arch "${ARCH:-$(uname -m | sed s/aarch64/arm64/)}"

# need_compiler: one for $arch
need_compiler()
{
	local cc=${CC:-gcc}

	[ -z "$cross" ] || cc=${cc/%gcc/${cross}gcc}
	cc=${cc##* }
	command -v "$cc" >/dev/null ||
		die "there is no $cc, which compiles for ARCH=$arch" \
		    "scripts/host-packages build $arch installs it"
}

# need_space DIR MEGABYTES
need_space()
{
	local free

	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$2" ] ||
		die "$1 has $free MB free, $2 MB are needed" \
		    "make room, or put the cache elsewhere:" \
		    "VFIO_NESTING_CACHE=/some/dir make ..."
}

# tree_id: what this checkout holds, edits and new files included
tree_id()
{
	(cd "$top" && { git ls-files -coz --exclude-standard | sort -zu |
		xargs -0 sha256sum 2>/dev/null || true; } | sha256sum |
		cut -c 1-16)
}

# with_lock NAME COMMAND...: one at a time, over all checkouts
with_lock()
{
	local lock=$cache/lock/$1 fd rc

	shift
	mkdir -p "$cache/lock"
	exec {fd}>"$lock"
	if ! flock -n "$fd"; then
		say "  waiting for another run (${lock##*/})"
		flock "$fd"
	fi
	"$@"
	rc=$?
	exec {fd}>&-
	return $rc
}

# with_tree TREE COMMAND...: compile, while nobody changes build/TREE
with_tree()
{
	local fd rc

	exec {fd}>"$build/.${1//\//-}.use"
	flock -s "$fd"
	shift
	"$@"
	rc=$?
	exec {fd}>&-
	return $rc
}

# change_tree DIRECTORY: wait for whoever compiles from it.  Nobody does until
# this process has ended.
change_tree()
{
	local lock=${1#"$build/"} fd

	[ -z "${changing[$1]:-}" ] || return 0
	lock=$build/.${lock//\//-}.use
	exec {fd}>"$lock"
	if ! flock -n "$fd"; then
		say "  waiting for a build that uses ${1#"$top/"}"
		flock "$fd"
	fi
	changing[$1]=$fd
}
declare -A changing=()

# progress_count LOG: how far a build has come, from what it printed
progress_count()
{
	tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' |
		grep -aoE '^\[[0-9]+/[0-9]+\]' | tail -n 1 | tr -d '[]' || true
}

progress_lines()
{
	grep -acE '^ +(CC|AS|LD|AR|HOSTCC|GEN|COPY)' "$1" 2>/dev/null || true
}

progress_text()
{
	local n

	n=$(progress_count "$1")
	[ -n "$n" ] || {
		n=$(progress_lines "$1")
		[ "${n:-0}" -gt 0 ] || return 0
		[ "${2:-0}" -lt "$n" ] || n="$n of about $2"
	}
	printf '%s' "$n"
}

# step NAME TITLE COMMAND...: run with the output in build/logs/NAME.log and
# one line of progress; when it fails, say where and show the end of the log.
step()
{
	local name=$1 title=$2 log=$logs/$1.log start=$SECONDS pid rc=0 n t
	local total='' last=0

	shift 2
	[ ! -s "$cache/steps/$name" ] || total=$(<"$cache/steps/$name")
	mkdir -p "$cache/steps"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# shellcheck disable=SC2064
	trap "kill $pid 2>/dev/null || true" INT TERM
	t=0
	while kill -0 $pid 2>/dev/null; do
		sleep 0.3
		t=$((SECONDS - start))
		if [ -t 2 ]; then
			printf '\r\033[K  %s  %d:%02d  %s' "$title" \
				$((t / 60)) $((t % 60)) \
				"$(progress_text "$log" "$total")" >&2
		elif [ $t -ge $((last + 30)) ]; then
			last=$t
			printf '  %s  %d:%02d  %s\n' "$title" \
				$((t / 60)) $((t % 60)) \
				"$(progress_text "$log" "$total")" >&2
		fi
	done
	wait $pid || rc=$?
	trap - INT TERM
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ $rc -ne 0 ]; then
		say "FAILED: $title"
		say "The log is ${log#"$top/"}.  What it says:"
		{ grep -aE '(error|Error|ERROR|FAILED|\*\*\*)' "$log" |
			head -n 12; echo ...; tail -n 8 "$log"; } |
			sed 's/^/    /' >&2
		return $rc
	fi
	t=$((SECONDS - start))
	n=$(progress_lines "$log")
	if [ "${n:-0}" -gt "${total:-0}" ]; then
		echo "$n" >"$cache/steps/$name"
	fi
	if [ $t -gt 1 ]; then
		printf '  %s  done, %d:%02d\n' "$title" \
			$((t / 60)) $((t % 60)) >&2
	fi
}

# hash of whatever comes on stdin
hash_of()
{
	sha256sum | cut -c1-20
}
