#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# run.sh PROGRAM KERNEL [OPTION OF vm/run.sh]...: boot KERNEL (plain or the
# path of its image) on a machine whose instruction counts repeat, run PROGRAM
# in it.

here=$(cd "$(dirname "$0")" && pwd)
prog=$1 kernel=$2
shift 2

# Time is what was executed; one processor; nothing random
ACCEL=tcg,thread=single exec "$here/../run.sh" --kernel "$kernel" --cpus 1 \
	--qemu-arg -icount --qemu-arg shift=0,sleep=off \
	--qemu-arg -rtc --qemu-arg base=2026-01-01,clock=vm \
	--qemu-arg -seed --qemu-arg 1 \
	--timeout 900 --add "$prog" "$@" -- "${prog##*/}"
