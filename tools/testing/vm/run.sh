#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run a command in the test guest: its output on stdout and stderr, its exit
# status as ours.  See usage().

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../../scripts/lib.sh"
vm=$top/tools/testing/vm

usage()
{
	cat <<-'END'
	usage: run.sh [OPTION]... -- COMMAND...
	       run.sh [OPTION]... --shell

	Boots the test guest, runs COMMAND in it, powers off.  One word is
	shell text, several are a command and its arguments.

	  --arch ARCH        x86_64 or arm64; default ARCH of the environment, or
	                     this machine's
	  --kernel KIND      plain (default), debug, modules, kcsan, bpf: with the
	                     series
	                     stock: debug, without the series
	                     or the path of a bzImage (arm64: Image)
	  --add SRC[:DST]    copy a file or directory into the guest; a file
	                     goes to /bin, a directory to /
	  --iommu KIND       vtd (default): nests; vtd-flat: scalable mode
	                     without nesting; vtd-legacy; amd; virtio.
	                     arm64: smmu (default)
	  --append WORDS     more words for the kernel's command line
	  --known REGEX      lines of the kernel's log that are no complaint: a
	                     defect of an unmodified kernel
	  --qemu-arg ARG     more arguments for QEMU, one each
	  --memory SIZE      default 1G
	  --cpus N           default 2
	  --timeout SECONDS  default 120, of real time less what the guest waited
	                     for a processor of this machine
	  --log FILE         where the guest's console goes
	  --shell            a shell on the console instead of a COMMAND
	  --print            print the QEMU command instead of running it

	In the environment: ACCEL=kvm where the host has it (default tcg),
	VTD_PROPS=..., SMMU_PROPS=... for further properties of the model.

	Exit status: that of COMMAND; 124 if the guest hung; 125 if it died or
	its kernel complained (WARN, BUG, lockdep, KASAN, ...); 126 if it could
	not be started.
	END
}

fail()
{
	say "run.sh: $1"
	shift
	[ $# -eq 0 ] || printf '    %s\n' "$@" >&2
	exit 126
}

kernel=plain memory=1G cpus=2 limit=120 console='' shell='' print='' ended=''
append='' adds=() extra=() iommu='' known=()
# words: what comes with an option is in $2
while [ $# -gt 0 ]; do
	case $1 in
	--arch | --kernel | --add | --iommu | --append | --known | --qemu-arg | \
	--memory | --cpus | --timeout | --log)
		[ $# -gt 1 ] || fail "$1 wants a value" "run.sh --help"
		;;
	esac
	case $1 in
	--arch)		case $2 in
			x86_64 | arm64)	use_arch "$2" ;;
			*)	fail "--arch $2: it is x86_64 or arm64" ;;
			esac
			shift 2 ;;
	--kernel)	kernel=$2; shift 2 ;;
	--add)		adds+=("$2"); shift 2 ;;
	--iommu)	iommu=$2; shift 2 ;;
	--append)	append+=" $2"; shift 2 ;;
	--known)	known+=("$2"); shift 2 ;;
	--qemu-arg)	extra+=("$2"); shift 2 ;;
	--memory)	memory=$2; shift 2 ;;
	--cpus)		cpus=$2; shift 2 ;;
	--timeout)	limit=$2; shift 2 ;;
	--log)		console=$2; shift 2 ;;
	--shell)	shell=y; shift ;;
	--print)	print=y; shift ;;
	-h|--help)	usage; exit 0 ;;
	--)		ended=y; shift; break ;;
	-*)		fail "there is no option $1" "run.sh --help" ;;
	*)		fail "what is $1?  The command comes after --" \
				"run.sh [OPTION]... -- COMMAND..." ;;
	esac
done
[ -n "$shell" ] || [ -n "$ended" ] ||
	fail "there is no command" "run.sh [OPTION]... -- COMMAND..."
[ -n "$shell" ] || [ $# -gt 0 ] || fail "there is no command after --"
[[ $limit =~ ^[0-9]+$ ]] || fail "--timeout $limit: it is a number of seconds"
[ -z "$shell" ] || [ -n "$print" ] || [ -t 0 ] ||
	fail "--shell needs a terminal" "One command:  run.sh -- COMMAND"

debug=''
[ "$kernel" = plain ] || [ "$kernel" = bpf ] || debug=y
if use_kernel "$kernel"; then
	image=$build/$tree/out-$variant$suffix/$image
	[ -r "$image" ] || fail "there is no kernel at ${image#"$top/"}" \
		"make kernel-$kernel ARCH=$arch"
else
	image=$kernel debug=''
	[ -f "$image" ] ||
		fail "--kernel $kernel: it is $kernel_kinds," \
		     "or the path of an image"
fi
qemu=$build/qemu/out-$arch_qemu/qemu-system-$arch_qemu
[ -x "$qemu" ] || fail "there is no ${qemu#"$top/"}" "make qemu ARCH=$arch"

tmp=$(mktemp -d "${TMPDIR:-/tmp}/vfio-nesting-vm.XXXXXX")
pid=''
# shellcheck disable=SC2317
cleanup()
{
	[ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
	[ -z "$tmp" ] || rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

quote()
{
	local w

	for w in "$@"; do
		printf "'%s' " "${w//\'/\'\\\'\'}"
	done
	echo
}

make_initrd()
{
	local root=$tmp/root a from to bb

	mkdir -p "$root"/{bin,dev,etc,root,proc,sys,tmp}
	if [ -n "$cross" ]; then
		bb=$("$top/scripts/fetch" "$arch-busybox") || exit 126
		bb=$bb/usr/bin/busybox
	else
		bb=$(command -v busybox) || fail "there is no busybox" \
			"apt-get install busybox-static"
	fi
	! readelf -lW "$bb" | grep -q INTERP || fail "$bb is not static" \
		"apt-get install busybox-static"
	cp "$bb" "$root/bin/busybox"
	ln -s busybox "$root/bin/sh"
	cp "$vm/guest/init" "$root/init"
	echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
	echo root:x:0: >"$root/etc/group"
	if [ -n "$shell" ]; then
		echo "Test guest.  'exit' powers off." >"$root/run.shell"
	elif [ $# -eq 1 ]; then
		printf '%s\n' "$1" >"$root/run.cmd"
	else
		quote "$@" >"$root/run.cmd"
	fi
	for a in "${adds[@]}"; do
		from=${a%%:*} to=''
		[ "$from" = "$a" ] || to=${a#*:}
		[ -e "$from" ] || fail "--add $a: there is no $from"
		if [ -z "$to" ] && [ -d "$from" ]; then
			to=/${from##*/}
		fi
		case /$to/ in
		/dev/* | //dev/* | /proc/* | //proc/* | /sys/* | //sys/*)
			fail "--add $a: the kernel mounts over $to" ;;
		esac
		to=$root/${to:-bin/${from##*/}}
		if [ -d "$from" ]; then
			mkdir -p "$to"
			cp -aL "$from/." "$to/"
		else
			[ "${to%/}" = "$to" ] || to+=${from##*/}
			mkdir -p "${to%/*}"
			cp -L "$from" "$to"
		fi
	done
	(cd "$root" && find . -mindepth 1 | cpio -o -H newc -R 0:0 --quiet) \
		>"$tmp/initrd"
}
make_initrd "$@"

# shellcheck source=tools/testing/vm/machine.sh
. "$vm/machine.sh"
machine=()
"machine_$arch"

cmdline+=" nokaslr panic=-1 oops=panic random.trust_cpu=on"
cmdline+=" rcupdate.rcu_cpu_stall_suppress_at_boot=1"
[ -z "$debug" ] || cmdline+=" panic_on_warn=1 softlockup_panic=1"
# a guest may be slow because this machine has other things to do
cmdline+=" watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=200"
cmdline+=" sysctl.kernel.hung_task_timeout_secs=240"
[ -z "$shell" ] || cmdline+=" quiet"
# the test devices are free for user space from the start
cmdline+=" vfio_pci.ids=1b36:11e9"
cmdline+=$append

accel=${ACCEL:-tcg}
# QEMU 10.0 with a thread for each processor: while one moves a BAR, as a reset
# does, what another writes to any device may land in the wrong one
# (iotlb_to_section() of an index from before).  The guest then waits for ever.
[ "$accel" != tcg ] || accel=tcg,thread=single
# shellcheck disable=SC2054
cmd=("$qemu" -L "$build/qemu/out-$arch_qemu/pc-bios/optionrom"
     -L /usr/share/seabios -L /usr/share/qemu
     -nodefaults -no-user-config -no-reboot -display none -vga none
     -accel "$accel" -m "$memory" -smp "$cpus"
     "${machine[@]}"
     -kernel "$image" -initrd "$tmp/initrd" -append "$cmdline")

if [ -n "$shell" ]; then
	cmd+=(-serial mon:stdio)
else
	if [ -z "$console" ]; then
		mkdir -p "$logs/vm"
		console=$(mktemp "$logs/vm/$(date +%H%M%S)-XXXX.log")
		# keep the last ones
		find "$logs/vm" -name '*.log' -printf '%T@ %p\n' | sort -rn |
			tail -n +101 | cut -d' ' -f2- | xargs -r rm -f
	fi
	# shellcheck disable=SC2054
	cmd+=(-chardev "file,id=console,path=$console"
	      -serial chardev:console
	      -device virtio-serial-pci,bus=pcie.0,addr=2.0)
	for p in out err ctl; do
		cmd+=(-chardev "file,id=$p,path=$tmp/$p"
		      -device "virtserialport,chardev=$p,name=vm.$p")
	done
fi
cmd+=("${extra[@]}")

if [ -n "$print" ]; then
	quote "${cmd[@]}"
	exit 0
fi
if [ -n "$shell" ]; then
	rc=0
	"${cmd[@]}" || rc=$?
	exit $rc
fi

# waited: how many seconds that thread of QEMU which waited most was ready to
# run and had no processor.  Guests have one thread that works.
waited()
{
	cat "/proc/$pid/task"/*/schedstat 2>/dev/null | awk '
		$2 > most { most = $2 } END { printf "%d", most / 1000000000 }'
}

# watch_guest: end it when its time is up, and when nobody is there any more
# who would: run.sh was killed, or what started all this
watch_guest()
{
	local start=$SECONDS

	while kill -0 "$pid"; do
		sleep 1
		if ! kill -0 $$ || owner_gone; then
			kill -9 "$pid"
			rm -rf "$tmp"
		elif [ $((SECONDS - start)) -gt "$limit" ] &&
		     [ $((SECONDS - start - $(waited))) -gt "$limit" ]; then
			: >"$tmp/late"
			kill -9 "$pid"
		fi
	done
}

# Output goes by way of pipes: QEMU would truncate a file it opens
mkfifo "$tmp/out" "$tmp/err"
cat <"$tmp/out" &
out=$!
cat <"$tmp/err" >&2 &
err=$!
# hold both until QEMU ends, whether it opens them or not
exec {hold1}>"$tmp/out" {hold2}>"$tmp/err"
"${cmd[@]}" </dev/null >"$tmp/qemu" 2>&1 {hold1}>&- {hold2}>&- &
pid=$!
# it ends a second after the guest does
watch_guest </dev/null >/dev/null 2>&1 {hold1}>&- {hold2}>&- &
rc=0
wait $pid || rc=$?
pid=''
exec {hold1}>&- {hold2}>&-
wait $out $err

# What the kernel should not have said.  Injected faults print a stack as
# well, so a stack alone is no sign.
bad='WARNING: |BUG: |BUG at |KASAN|KCSAN|UBSAN|ODEBUG:|Oops|Kernel panic'
bad+='|general protection fault|possible (recursive|circular|irq)'
bad+='|suspicious RCU|INFO: (task|rcu|trying|possible)|self-detected stall'
bad+='|detected stalls|refcount_t:|(list_add|list_del) corruption'
bad+='|DEBUG_LOCKS_WARN|soft lockup|hard LOCKUP|cannot create duplicate'
bad+='|Unable to handle kernel|double free|scheduling while atomic'

status=$(awk '$1 == "exit" { print $2 }' "$tmp/ctl" 2>/dev/null || true)
log=${console#"$top/"}

for k in "${known[@]}"; do
	# rather a line that says so than one that is missing
	sed -i -E "/$k/s/.*/(a known defect)/" "$console"
done
if grep -qaE "$bad" "$console" 2>/dev/null; then
	say "run.sh: the guest's kernel complained ($log):"
	grep -aE -m 1 -B 2 -A 40 "$bad" "$console" | tr -d '\r' |
		sed 's/^/    /' >&2
	exit 125
fi
if [ -e "$tmp/late" ]; then
	say "run.sh: the guest was not done after $limit s ($log ends with):"
	tail -n 15 "$console" | tr -d '\r' | sed 's/^/    /' >&2
	exit 124
fi
if [ -s "$tmp/qemu" ]; then
	say "QEMU says:"
	sed 's/^/    /' "$tmp/qemu" >&2
fi
if [ -z "$status" ] || [ $rc -ne 0 ]; then
	if [ ! -s "$console" ]; then
		fail "QEMU did not start the guest (status $rc)"
	fi
	say "run.sh: the guest died (QEMU's status $rc, $log ends with):"
	tail -n 15 "$console" | tr -d '\r' | sed 's/^/    /' >&2
	exit 125
fi
exit "$status"
