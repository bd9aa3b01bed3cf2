# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts share.  Source it from a bash script that sits in scripts/
# or anywhere below the checkout.

set -euo pipefail
export LC_ALL=C
umask 022
# where Debian has modinfo and others, not in everybody's PATH
PATH=$PATH:/usr/sbin:/sbin

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

# use_kernel KIND: the tree and variant of a kernel that tests run on
# shellcheck disable=SC2034
kernel_kinds="plain, debug, modules, kcsan, bpf or stock"
# shellcheck disable=SC2034
use_kernel()
{
	case $1 in
	plain | debug | modules | kcsan | bpf)
		tree=linux variant=$1 ;;
	stock)	tree=stock variant=debug ;;
	*)	return 1 ;;
	esac
}

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

# name_missing: packages without which a build may have failed just now
name_missing()
{
	NO_INSTALL=1 "$top/scripts/host-packages" build || true
}

# need_space DIR MEGABYTES: before what writes that much
need_space()
{
	local free

	free=$(free_space "$1")
	[ "$free" -ge "$2" ] ||
		die "$1 has $free MB free, $2 MB are needed" \
		    "$(where_space "$1")"
}

# free_space DIR: in MB
free_space()
{
	df -Pm "$1" | awk 'NR == 2 { print $4 }'
}

# where_space DIR: what somebody who has no room there can do
where_space()
{
	case $1 in
	"$cache"*)
		echo "Make room, or put the cache elsewhere:" \
			"VFIO_NESTING_CACHE=/some/dir make ..." ;;
	*)	echo "Make room, or move the checkout to a larger disk." ;;
	esac
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

# mirror_of LABEL DIRECTORY: the mirror this machine uses for /debian or
# /debian-security
mirror_of()
{
	local uri

	# shellcheck disable=SC2016
	uri=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v want="$1" '$1 == "Debian" && $2 == want {
			print $3; exit }')
	# Debian 12 says "Debian Debian URI" and "Debian Debian-Security URI".
	# Without lists (before apt-get update) only the URI itself is known.
	if [ -z "$uri" ]; then
		# shellcheck disable=SC2016
		uri=$(apt-get indextargets --no-release-info \
			--format '$(REPO_URI)' 'Created-By: Packages' \
			2>/dev/null | grep -m 1 -E "/$2/?\$" || true)
	fi
	[ -n "$uri" ] ||
		die "apt's configuration names no mirror of $1" \
		    "Add one that ends in /$2 to /etc/apt/sources.list.d."
	printf '%s' "$uri"
}

# mirror_access: of the machine's configuration of apt, how to reach a mirror
# and nothing else: neither hooks nor further indexes
mirror_access()
{
	apt-config dump 2>/dev/null | grep '^Acquire::' |
		grep -v '^Acquire::IndexTargets' || true
}

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

# min_sec SECONDS
min_sec()
{
	printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# progress_text LOG TOTAL SECONDS: how many of how many, and once a tenth is
# done, how long the rest may take
progress_text()
{
	local n total=$2 of='of about'

	n=$(progress_count "$1")
	if [ -n "$n" ]; then
		total=${n#*/} n=${n%/*} of='of'
	else
		n=$(progress_lines "$1")
	fi
	[ "${n:-0}" -gt 0 ] || return 0
	printf '%s' "$n"
	[ "${total:-0}" -gt "$n" ] || return 0
	printf ' %s %s' "$of" "$total"
	[ $((n * 10)) -lt "$total" ] ||
		printf ', about %s left' "$(min_sec $(($3 * (total - n) / n)))"
}

# step_total NAME: how many lines that step printed the last time, or those of
# whoever wrote scripts/steps
step_total()
{
	if [ -s "$cache/steps/$1" ]; then
		cat "$cache/steps/$1"
	else
		awk -v n="$1" '$1 == n { print $2 }' "$top/scripts/steps" \
			2>/dev/null || true
	fi
}

# took WHAT SECONDS: for the table at the end of make test
took()
{
	[ -z "${STEP_TIMES:-}" ] || printf '%s %s\n' "$2" "$1" >>"$STEP_TIMES"
}

# kill_tree PID: what it started and it
kill_tree()
{
	local p

	[ -n "$1" ] || return 0
	# shellcheck disable=SC2013 # words they are
	for p in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
		kill_tree "$p"
	done
	kill -TERM "$1" 2>/dev/null || true
}

# owner_gone: has whoever started all this ended without a word?
owner_gone()
{
	[ -n "${STEP_OWNER:-}" ] && ! kill -0 "$STEP_OWNER" 2>/dev/null
}

# step NAME TITLE COMMAND...: run with the output in build/logs/NAME.log and
# one line of progress; when it fails, say where and show the end of the log.
step()
{
	local name=$1 title=$2 log=$logs/$1.log start=$SECONDS pid rc=0 n t
	local total last=0

	shift 2
	total=$(step_total "$name")
	mkdir -p "$cache/steps"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# shellcheck disable=SC2064
	trap "kill_tree $pid; exit 130" INT TERM HUP
	t=0
	while kill -0 $pid 2>/dev/null; do
		sleep 0.3
		! owner_gone || kill_tree $pid
		t=$((SECONDS - start))
		if [ -t 2 ]; then
			printf '\r\033[K  %s  %s  %s' "$title" "$(min_sec $t)" \
				"$(progress_text "$log" "$total" $t)" >&2
		elif [ $t -ge $((last + 30)) ]; then
			last=$t
			printf '  %s  %s  %s\n' "$title" "$(min_sec $t)" \
				"$(progress_text "$log" "$total" $t)" >&2
		fi
	done
	wait $pid || rc=$?
	trap - INT TERM HUP
	[ ! -t 2 ] || printf '\r\033[K' >&2
	if [ $rc -ne 0 ]; then
		say "FAILED: $title"
		say "The log is ${log#"$top/"}.  What it says:"
		{ grep -aE '(error|Error|ERROR|FAILED|not found|\*\*\*)' "$log" |
			head -n 12; echo ...; tail -n 8 "$log"; } |
			sed 's/^/    /' >&2
		return $rc
	fi
	t=$((SECONDS - start))
	n=$(progress_lines "$log")
	if [ "${n:-0}" -gt "${total:-0}" ]; then
		echo "$n" >"$cache/steps/$name"
	fi
	took "$name" "$t"
	[ $t -le 1 ] || say "  $title  done, $(min_sec $t)"
}

# hash of whatever comes on stdin
hash_of()
{
	sha256sum | cut -c1-20
}
