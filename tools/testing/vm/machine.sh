# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2034,SC2054,SC2154
#
# The test machine: what QEMU is told about it.  run.sh sources this.  Where a
# device or a property does not exist (yet), the machine goes without it.

# Properties of the VT-d model; each is used if the model has it
vtd_props=(
	intremap=on
	device-iotlb=on
	x-scalable-mode=on
	x-nesting=on
	aw-bits=48
	caching-mode=off
)

# One endpoint behind each root port.  The last root port stays empty, for
# what a test plugs.
testdevs=2
testdev=pasid-testdev
monitor="iommu-monitor"

# Properties of the SMMUv3 model, likewise
smmu_props=(
	x-nesting=on
)

# tsc_khz: of an emulated processor, which has this machine's counter; nothing
# where that is not known
tsc_khz()
{
	local src=$vm/tsc-khz.c prog=$build/vm/tsc-khz

	# where time is what was executed, in nanoseconds
	[[ " ${extra[*]} " != *" -icount "* ]] || { echo 1000000; return; }
	[ "$(uname -m)" = x86_64 ] && [[ ${ACCEL:-tcg} = tcg* ]] || return 0
	if [ ! -x "$prog" ] || [ "$src" -nt "$prog" ]; then
		mkdir -p "${prog%/*}"
		"${CC:-cc}" -O2 -o "$prog.$$" "$src" 2>/dev/null || return 0
		mv "$prog.$$" "$prog"
	fi
	"$prog"
}

# machine_x86_64: fill the array machine, and the start of cmdline
machine_x86_64()
{
	local props='' p have khz

	cmdline="console=ttyS0 intel_iommu=on,sm_on tsc=reliable no_timer_check"
	# a guest that measures its own is wrong on a busy machine
	khz=$(tsc_khz)
	cmdline+=${khz:+ tsc_early_khz=$khz}
	have=$("$qemu" -device intel-iommu,help 2>/dev/null)
	for p in "${vtd_props[@]}"; do
		# hosts that cannot nest; ATS is served by x-nesting only
		case ${iommu:=vtd}:$p in
		vtd-*:x-nesting=* | vtd-*:device-iotlb=*)	continue ;;
		vtd-legacy:x-scalable-mode=*)			continue ;;
		esac
		! grep -qE "^ *${p%%=*}=" <<<"$have" || props+=,$p
	done
	machine=(-machine "q35,kernel-irqchip=split,hpet=off"
		 -cpu max,la57=off
		 # hotplug by the ports themselves, not by ACPI: surprise removal
		 -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off)
	case $iommu in
	amd)	machine+=(-device amd-iommu,intremap=on) ;;
	virtio)	machine+=(-device virtio-iommu-pci,bus=pcie.0,addr=1d.0) ;;
	vtd*)	machine+=(-device "intel-iommu$props${VTD_PROPS:+,$VTD_PROPS}") ;;
	*)	die "--iommu $iommu: vtd, vtd-flat, vtd-legacy, amd or virtio" ;;
	esac
	pcie_devices
}

machine_arm64()
{
	local p have more=${SMMU_PROPS:-} cpu=cortex-a57

	# With a device tree, 6.12 asks for ACS when the bus has been scanned
	# already, and without ACS a root port lets no PASID through
	cmdline="console=ttyAMA0 pci=config_acs=11101@pci:1b36:000c"
	# emulated, as wide as the SMMU, which SVA asks for, and quick
	case ${ACCEL:-tcg} in
	tcg*)	;;
	*)	cpu=host ;;
	esac
	machine=(-machine "virt,gic-version=3,iommu=smmuv3,highmem=on"
		 -cpu "$cpu")
	case ${iommu:=smmu} in
	smmu)	;;
	*)	die "--iommu $iommu: smmu" ;;
	esac
	# the machine makes the SMMU itself
	have=$("$qemu" -device arm-smmuv3,help 2>/dev/null || true)
	for p in "${smmu_props[@]}" ${more//,/ }; do
		! grep -qE "^ *${p%%=*}=" <<<"$have" ||
			machine+=(-global "arm-smmuv3.$p")
	done
	# the second device can wait for a fault to be repaired
	pcie_devices x-can-stall=off x-can-stall=on
}

# pcie_devices [PROPERTIES...]: root ports, what is behind them (the nth
# with the nth PROPERTIES), and the monitor
pcie_devices()
{
	local i have props=("$@")

	have=$("$qemu" -machine none -device help 2>/dev/null)
	for ((i = 0; i <= testdevs; i++)); do
		machine+=(-device "pcie-root-port,id=rp$i,bus=pcie.0,chassis=$((i + 1)),slot=$((i + 1)),addr=$((i + 4)).0")
		if [ "$i" -lt "$testdevs" ] &&
		   grep -q "\"$testdev\"" <<<"$have"; then
			machine+=(-device "$testdev,id=dev$i,bus=rp$i${props[i]:+,${props[i]}}")
		fi
	done
	! grep -q "\"$monitor\"" <<<"$have" ||
		machine+=(-device "$monitor,id=monitor,bus=pcie.0,addr=3.0")
}
