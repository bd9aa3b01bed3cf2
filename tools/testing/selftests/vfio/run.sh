#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Lend devices to vfio-pci, run the tests (or a command) with them, give them
# back.  See usage().

usage()
{
	cat <<-'END'
	usage: run.sh [BDF...] [-- COMMAND...]

	Loads vfio-pci and binds the PCI functions BDF to it, runs the tests
	that lie beside this script or that "make selftests" built, or COMMAND,
	with VFIO_BDF set to them, and binds them to their drivers again.  BDF
	is an address as lspci prints it, with the domain or without:
	0000:01:00.0.  Without BDF: all of QEMU's pasid-testdev (1b36:11e9).
	nesting_unplug is for COMMAND only: it loses a device.

	Whatever uses the devices must be stopped first: a network card loses
	its connections, a disk its file systems.  All functions of an IOMMU
	group have to be lent together; the tests say so if one is missing.
	What a device or its IOMMU does not have is skipped, with the reason.

	Exit status: 0 all passed; 1 a test failed; 2 wrong usage or a device
	could not be bound; 4 everything was skipped; 128 and its number: a
	signal.
	END
}

PCI=/sys/bus/pci
here=$(dirname "$0")
lent=''

die()
{
	echo "run.sh: $1" >&2
	shift
	for w; do
		echo "    $w" >&2
	done
	exit 2
}

driver_of()
{
	basename "$(readlink "$PCI/devices/$1/driver")" 2>/dev/null
}

# lend BDF: to vfio-pci
lend()
{
	dev=$PCI/devices/$1

	[ -d "$dev" ] || die "there is no PCI function $1" \
		"lspci -D lists what there is"
	[ -e "$dev/iommu_group" ] || die "$1 is behind no IOMMU" \
		"turn it on: intel_iommu=on,sm_on on the kernel's command line"
	old=$(driver_of "$1")
	[ "$old" != vfio-pci ] || return 0
	override=$(cat "$dev/driver_override")
	[ "$override" != "(null)" ] || override=''
	lent="$lent $1,$old,$override"
	echo vfio-pci >"$dev/driver_override"
	[ -z "$old" ] || echo "$1" >"$dev/driver/unbind"
	echo "$1" >"$PCI/drivers_probe"
	[ "$(driver_of "$1")" = vfio-pci ] || die "vfio-pci refuses $1" \
		"is it there (modprobe vfio-pci)?  What does dmesg say?"
}

# Those that went away meanwhile are skipped.  Nothing may stop it half way.
# shellcheck disable=SC2317
give_back()
{
	trap '' HUP INT PIPE TERM
	for l in $lent; do
		bdf=${l%%,*} override=${l##*,} old=${l#*,} old=${old%%,*}
		dev=$PCI/devices/$bdf
		[ -d "$dev" ] || continue
		# so that no other driver that knows it takes it; an empty line
		# clears it
		echo "$old" >"$dev/driver_override"
		[ ! -e "$dev/driver" ] || echo "$bdf" >"$dev/driver/unbind"
		[ -z "$old" ] || echo "$bdf" >"$PCI/drivers_probe"
		echo "$override" >"$dev/driver_override"
		now=$(driver_of "$bdf")
		[ "$now" = "$old" ] ||
			echo "run.sh: $bdf had ${old:-no driver}, now ${now:-no driver}" >&2
	done
	lent=''
}

bdfs=''
while [ $# -gt 0 ]; do
	case $1 in
	-h|--help)	usage; exit 0 ;;
	--)		shift; break ;;
	-*)		usage >&2; exit 2 ;;
	*:*:*.*)	bdfs="$bdfs $1"; shift ;;
	*:*.*)		bdfs="$bdfs 0000:$1"; shift ;;
	*)		die "\"$1\" is no PCI address" "usage: run.sh --help" ;;
	esac
done

if [ -z "$bdfs" ]; then
	for dev in "$PCI"/devices/*; do
		[ "$(cat "$dev/vendor"):$(cat "$dev/device")" != \
		  0x1b36:0x11e9 ] || bdfs="$bdfs ${dev##*/}"
	done
	[ -n "$bdfs" ] || die "there is no pasid-testdev here" \
		"name the devices to test with: run.sh BDF..."
fi

! command -v modprobe >/dev/null ||
	modprobe -a vfio-pci vfio_iommu_type1 2>/dev/null

# a signal that is not trapped ends dash without what is trapped on EXIT
trap give_back EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM
for b in $bdfs; do
	lend "$b"
done
VFIO_BDF=''
for b in $bdfs; do
	VFIO_BDF=$VFIO_BDF${VFIO_BDF:+,}$b
done
export VFIO_BDF

if [ $# -gt 0 ]; then
	"$@"
	exit $?
fi

# in a checkout of the series "make selftests" puts them elsewhere
built=$here/../../../../build/selftests/vfio
for t in "$here"/nesting_*; do
	case $t in
	*.c) ;;
	*) [ ! -x "$t" ] || built=$here ;;
	esac
done

failed=0 passed=0 skipped=0
for t in "$built"/nesting_*; do
	case $t in
	*.c | *_unplug) continue ;;	# that one loses a device
	esac
	[ -x "$t" ] || continue
	echo "# ${t##*/}"
	"$t"
	case $? in
	0) passed=$((passed + 1)) ;;
	4) skipped=$((skipped + 1)) ;;
	*) failed=$((failed + 1)) ;;
	esac
done
[ $((passed + failed + skipped)) -gt 0 ] ||
	die "there are no tests in $built" "make selftests builds them"
echo "# programs: $passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] || exit 1
[ $passed -gt 0 ] || exit 4
exit 0
