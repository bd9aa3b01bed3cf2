# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2154
#
# checkpatch, as make check and make series-check ask it.  Sourced.

# Paths are those of the tree.  User space has no BIT(), ARRAY_SIZE() or
# __noreturn, and talks to devices by volatile.  Its tests name an argument of a
# macro twice where nothing can be evaluated twice: in initializers of tables
# and as the variable of a loop (MACRO_ARG_REUSE).
# FILE_PATH_CHANGES: MAINTAINERS comes with the exported series.
# CONFIG_DESCRIPTION counts lines.  UNKNOWN_COMMIT_ID is any, where the source
# has no history.
no_kernel=FILE_PATH_CHANGES,CONFIG_DESCRIPTION,UNKNOWN_COMMIT_ID
no_user=$no_kernel,BIT_MACRO,ARRAY_SIZE,VOLATILE,EMBEDDED_FUNCTION_NAME
no_user+=,PREFER_DEFINED_ATTRIBUTE_MACRO,MACRO_ARG_REUSE

# checkpatch IGNORE ARG...: files on stdin.  Without git it asks neither for
# commits that a source package has not, nor for Python modules.
checkpatch()
{
	local ignore=$1

	shift
	GIT_DIR=/nonexistent xargs -r -P "$jobs" -n 6 \
		"$build/stock/scripts/checkpatch.pl" --root="$build/stock" --strict \
		--no-summary --terse --show-types --ignore "$ignore" "$@"
}

# TRACE_EVENT() has a layout of its own, in every header of the kernel
not_a_trace()
{
	local f n rest file rc=0

	while IFS=: read -r f n rest; do
		file=$f
		[[ $f != *.patch ]] || file=$(head -n "$n" "$f" |
			sed -n 's,^+++ b/,,p' | tail -n 1)
		case $file:$rest in
		include/trace/*:OPEN_ENDED_LINE:*) continue ;;
		include/trace/*:PARENTHESIS_ALIGNMENT:*) continue ;;
		esac
		echo "$f:$n:$rest"
		rc=1
	done
	return $rc
}

# checkpatch takes the * after the harness's FIXTURE_DATA() for a product
not_a_product()
{
	local f n rest rc=0

	while IFS=: read -r f n rest; do
		case $rest in
		*:SPACING:*"'*'"*)
			! sed -n "${n}p" "$f" | grep -q 'FIXTURE_DATA(' ||
				continue
			;;
		esac
		echo "$f:$n:$rest"
		rc=1
	done
	return $rc
}
