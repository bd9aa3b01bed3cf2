#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does scripts/prepare lead to the same tree, and make to the same objects, if
# it was killed on the way?  A small kernel with three patches, which change,
# and prepare dies before its Nth command that changes files.  KTAP.
#
# ALL=y tries each N; otherwise about ten, spread evenly, and the last ones.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
mkdir -p "$top/build"
work=$(mktemp -d "$top/build/prepare-selftest.XXXXXX")
trap 'rm -rf "$work"' EXIT
export VFIO_NESTING_CACHE=$work/cache
export KILL_COUNT=$work/count KILL_AT=0
series=$(sed -n 's/^LINUX_SERIES=//p' "$top/scripts/versions")
src=$work/src
patches=$src/patches/linux-$series
files="drivers/a.c drivers/b.c drivers/c.c drivers/kept.c drivers/new.c"
files+=" drivers/own.c drivers/other.c"

# text MARK...: a file in which a patch finds its place
text()
{
	local i

	for i in 1 2 3; do
		seq 1 9
		echo "place $i ${1:-}"
		shift $(($# > 0))
	done
}

base()
{
	mkdir -p "$work/linux-source/drivers" "$work/archive"
	for f in a b c kept; do
		text >"$work/linux-source/drivers/$f.c"
	done
	touch -d '2001-01-01' "$work/linux-source/drivers/"*
	tar -C "$work" -cJf "$work/archive/linux-source-$series.tar.xz" \
		linux-source
}

# a_patch NAME FILE FROM TO: what makes FROM of the words in FILE's places TO
a_patch()
{
	local d=$work/diff

	rm -rf "$d"
	mkdir -p "$d"/{a,b}/drivers
	# shellcheck disable=SC2086
	{
		[ "$3" = none ] || text $3 >"$d/a/drivers/$2"
		text $4 >"$d/b/drivers/$2"
	}
	(cd "$d" && diff -Nu "a/drivers/$2" "b/drivers/$2" |
		sed -E 's/^((---|\+\+\+) [^\t]*)\t.*/\1/
			s,^--- a/drivers/new.c,--- /dev/null,') \
		>>"$patches/$1" || true
}

# first, second: the patches before, and after the change
first()
{
	mkdir -p "$patches" "$src/drivers"
	a_patch 1.patch a.c "" "one"
	a_patch 1.patch b.c "" "one"
	a_patch 2.patch a.c "one" "one two"
	a_patch 2.patch new.c none "two"
	a_patch 3.patch c.c "" "three"
	printf '%s\n' 1.patch 2.patch 3.patch >"$patches/series"
	echo own >"$src/drivers/own.c"
}

# b.c is as it was, new.c gone; the third patch stays
second()
{
	rm "$patches"/[12].patch "$src/drivers/own.c"
	a_patch 1.patch a.c "" "uno"
	a_patch 2.patch a.c "uno" "uno due"
	a_patch 2.patch kept.c "" "due"
	echo other >"$src/drivers/other.c"
}

prepare()
{
	local rc=0

	echo 0 >"$KILL_COUNT"
	PATH=$work/bin:$PATH setsid -w "$src/scripts/prepare" linux \
		>"$work/log" 2>&1 || rc=$?
	return $rc
}

# what a compiler would do: objects of what is newer
compile()
{
	local f t=$src/build/linux

	mkdir -p "$work/obj/drivers"
	for f in $files; do
		if [ ! -e "$t/$f" ]; then
			rm -f "$work/obj/$f"
		elif [ ! -e "$work/obj/$f" ] || [ "$t/$f" -nt "$work/obj/$f" ]
		then
			cp -L "$t/$f" "$work/obj/$f"
		fi
	done
}

# state DIRECTORY: all text in it
state()
{
	(cd "$1" && for f in $files; do
		[ ! -e "$f" ] || { echo "$f"; cat "$f"; }
	done)
}

# A command that changes the tree or what is beside it; the Nth kills the run.
# What quilt does to its copies does not count.
mkdir -p "$work/bin" "$src/scripts"
cat >"$work/bin/count" <<'END'
#!/bin/sh
case $PWD in
*/.next.tmp) ;;
*)	n=$(($(cat "$KILL_COUNT") + 1))
	echo $n >"$KILL_COUNT"
	[ $n -ne "$KILL_AT" ] || kill -9 0
	;;
esac
PATH=${PATH#*:}
export PATH
exec "${0##*/}" "$@"
END
chmod +x "$work/bin/count"
for c in mv cp rm ln mkdir rmdir touch patch; do
	ln -s count "$work/bin/$c"
done
cp "$top"/scripts/{lib.sh,versions,prepare} "$src/scripts/"
printf '#!/bin/sh\necho "%s/archive"\n' "$work" >"$src/scripts/fetch"
chmod +x "$src/scripts/fetch"

base
first
prepare || { cat "$work/log"; exit 1; }
compile
cp -a "$src" "$work/src.first"
cp -a "$work/obj" "$work/obj.first"

# how it is without a kill
second
cp -a "$src" "$work/src.second"
prepare || { cat "$work/log"; exit 1; }
compile
state "$src/build/linux" >"$work/want"
total=$(cat "$KILL_COUNT")

echo "KTAP version 1"
n=1
bad=0
if state "$work/obj" | cmp -s - "$work/want"; then
	echo "ok 1 objects are of the new text"
else
	echo "not ok 1 objects are of the new text"
	bad=1
fi

# an editor put a file in the place of a link, it was compiled, and goes again
rm "$src/build/linux/drivers/other.c"
echo edited >"$src/build/linux/drivers/other.c"
compile
n=2
if prepare || ! grep -q 'was a link' "$work/log"; then
	why="prepare says nothing"
else
	why=''
	rm "$src/build/linux/drivers/other.c"
	prepare || why="prepare fails"
	compile
	state "$work/obj" | cmp -s - "$work/want" ||
		why="an object is of the old text"
fi
if [ -z "$why" ]; then
	echo "ok 2 an edit in place of a link"
else
	echo "not ok 2 an edit in place of a link # $why"
	bad=1
fi

for ((at = 1; at <= total; at++)); do
	[ -n "${ALL:-}" ] || [ $((at % (total / 10))) -eq 0 ] ||
		[ $at -gt $((total - 5)) ] || continue
	n=$((n + 1))
	why=''
	rm -rf "$src" "$work/obj"
	cp -a "$work/src.second" "$src"
	cp -a "$work/obj.first" "$work/obj"
	{ KILL_AT=$at prepare && why="it was not killed"; } 2>/dev/null
	KILL_AT=0 prepare || why="the run after that failed"
	compile
	state "$src/build/linux" | cmp -s - "$work/want" ||
		why="the tree differs"
	state "$work/obj" | cmp -s - "$work/want" ||
		why="${why:-an object is of the old text}"
	# and nothing is left to do
	prepare && [ ! -e "$src/build/linux/.next" ] &&
		[ ! -e "$src/build/linux/.next.tmp" ] ||
		why="${why:-something is left over}"
	if [ -z "$why" ]; then
		echo "ok $n killed before change $at of $total"
	else
		sed 's/^/# /' "$work/log"
		echo "not ok $n killed before change $at of $total # $why"
		bad=1
	fi
done
echo "1..$n"
exit $bad
