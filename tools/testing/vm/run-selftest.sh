#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Does run.sh tell a guest that is well from one that is not?  KTAP.

set -u
vm=$(dirname "$0")
out=$(mktemp)
trap 'rm -f "$out"' EXIT
n=0 bad=0

# expect NAME STATUS REGEX-IN-OUTPUT RUN.SH-ARGUMENT...
expect()
{
	local name=$1 want=$2 text=$3 rc=0

	shift 3
	n=$((n + 1))
	"$vm/run.sh" --kernel plain "$@" >"$out" 2>&1 || rc=$?
	if [ $rc -eq "$want" ] && grep -qE "$text" "$out"; then
		echo "ok $n $name"
	else
		sed 's/^/# /' "$out"
		echo "not ok $n $name # status $rc, expected $want"
		bad=1
	fi
}

# usage NAME WORDS RUN.SH-ARGUMENT...: refused in few words, and which
usage()
{
	local name=$1 text=$2 rc=0

	shift 2
	n=$((n + 1))
	"$vm/run.sh" "$@" >"$out" 2>&1 </dev/null || rc=$?
	if [ $rc -eq 126 ] && grep -qF -- "$text" "$out" &&
	   [ "$(wc -l <"$out")" -le 3 ]; then
		echo "ok $n $name"
	else
		sed 's/^/# /' "$out"
		echo "not ok $n $name # status $rc, expected 126 and $text"
		bad=1
	fi
}

# ends NAME SIGNAL: QEMU goes with run.sh
ends()
{
	local pid qemu='' i mark

	n=$((n + 1))
	mark=selftest-$$-$n
	"$vm/run.sh" --kernel plain --append "$mark" -- sleep 1000 \
		>"$out" 2>&1 &
	pid=$!
	for ((i = 0; i < 6000; i++)); do
		qemu=$(pgrep_qemu "$mark")
		[ -z "$qemu" ] || break
		sleep 0.1
	done
	kill -"$2" $pid
	wait $pid 2>/dev/null
	for ((i = 0; i < 6000; i++)); do
		[ -n "$(pgrep_qemu "$mark")" ] || break
		sleep 0.1
	done
	if [ -n "$qemu" ] && [ -z "$(pgrep_qemu "$mark")" ]; then
		echo "ok $n $1"
	else
		echo "not ok $n $1 # QEMU: ${qemu:-did not start}"
		bad=1
	fi
}

# pgrep_qemu WORD: a QEMU that has it in its arguments
pgrep_qemu()
{
	grep -lsaF -- "$1" /proc/[0-9]*/cmdline | while read -r f; do
		case $(readlink "${f%cmdline}exe") in
		*/qemu-system-*)	echo "${f//[!0-9]/}" ;;
		esac
	done
}

echo "KTAP version 1"
echo "1..21"
expect "exit status and output" 7 '^a  b$' -- sh -c 'echo "a  b"; exit 7'
expect "shell text, quotes" 0 "^it's\$" -- "echo \"it's\" | cat"
expect "a file is added" 0 '^x86|^#!' --add "$0:/data/f" -- head -n 1 /data/f
expect "stderr" 0 '^oops$' -- 'echo oops >&2'
expect "a guest that hangs" 124 'not done after' --timeout 5 -- sleep 1000
expect "a guest that panics" 125 'Kernel panic' -- \
	'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger'
expect "a warning in the log" 125 'complained' -- \
	'echo "WARNING: CPU: 0 PID: 1 at x.c:1" >/dev/kmsg'
expect "a guest that is switched off" 125 'the guest died' -- \
	'poweroff -f; sleep 100'
expect "wrong arguments for QEMU" 126 'QEMU says' --qemu-arg -nonsense -- true
expect "a file in a directory of the guest" 0 '^x86|^#!' --add "$0:/tmp/f" \
	-- head -n 1 /tmp/f
usage "a file where the kernel mounts" "mounts over" --add "$0:/dev/f" -- true
usage "an option that there is not" "no option --nonsense" --nonsense -- true
usage "an option without its value" "--kernel wants a value" --kernel
usage "no --" "what is true?" true
usage "no command" "no command after --" --
usage "no kernel of ours" "--kernel bogus: it is plain" --kernel bogus -- true
usage "no architecture of ours" "--arch foo" --arch foo -- true
usage "a shell without a terminal" "needs a terminal" --shell
usage "a time that is none" "--timeout soon" --timeout soon -- true
ends "SIGTERM" TERM
ends "SIGKILL" KILL
exit $bad
