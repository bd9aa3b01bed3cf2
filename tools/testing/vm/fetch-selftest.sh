#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does scripts/fetch take another release of the same series if the one that is
# wanted is not to be had any more?  And say when there is a later one?  KTAP.

set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
err=$(mktemp)
trap 'rm -f "$err"' EXIT
# shellcheck source=scripts/versions
. "$top/scripts/versions"
n=0 bad=0

# result NAME WHY
result()
{
	n=$((n + 1))
	[ -n "$2" ] || { echo "ok $n $1"; return; }
	bad=1
	sed 's/^/# /' "$err"
	echo "not ok $n $1 # $2"
}

# gone KIND VARIABLE VERSION SERIES
gone()
{
	local dir why=''

	dir=$(env "$2=$3" "$top/scripts/fetch" "$1" 2>"$err") ||
		why="status $?"
	[[ ${dir##*/} = "$1-$4."* ]] || why="it took ${dir:-nothing}"
	[ "$(wc -l <<<"$dir")" -eq 1 ] || why="more than a directory: $dir"
	grep -q "note: .* $3 is not in .* any more, taking .*$4" "$err" ||
		why="it does not say so"
	result "$1 $3, which there is not" "$why"
}

echo "KTAP version 1"
if ! "$top/scripts/fetch" newer >"$err" 2>&1; then
	echo "1..0 # SKIP Debian's package lists could not be read"
	exit 0
fi
gone linux LINUX_VERSION "$LINUX_SERIES.0" "$LINUX_SERIES"
gone qemu QEMU_VERSION "$QEMU_SERIES.0" "$QEMU_SERIES"
LINUX_VERSION=$LINUX_SERIES.0 "$top/scripts/fetch" newer >"$err" 2>&1
grep -q "is out; scripts/versions has $LINUX_SERIES.0" "$err" && why='' ||
	why="it is not said"
result "a later release is told" "$why"
LINUX_VERSION=$LINUX_SERIES.9999 QEMU_VERSION=$QEMU_SERIES.9999 \
	"$top/scripts/fetch" newer >"$err" 2>/dev/null
[ ! -s "$err" ] && why='' || why="something is said"
result "none is told where there is none" "$why"
echo "1..$n"
exit $bad
