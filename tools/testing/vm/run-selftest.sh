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

echo "KTAP version 1"
echo "1..9"
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
exit $bad
