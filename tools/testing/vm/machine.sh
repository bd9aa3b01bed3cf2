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
monitor=iommu-monitor

# machine_x86_64: fill the array machine
machine_x86_64()
{
	local i props='' p have

	have=$("$qemu" -device intel-iommu,help 2>/dev/null)
	for p in "${vtd_props[@]}"; do
		# hosts that cannot nest; ATS is served by x-nesting only
		case $iommu:$p in
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
	have=$("$qemu" -device help 2>/dev/null)
	for ((i = 0; i <= testdevs; i++)); do
		machine+=(-device "pcie-root-port,id=rp$i,bus=pcie.0,chassis=$((i + 1)),slot=$((i + 1)),addr=$((i + 4)).0")
		if [ "$i" -lt "$testdevs" ] &&
		   grep -q "\"$testdev\"" <<<"$have"; then
			machine+=(-device "$testdev,id=dev$i,bus=rp$i")
		fi
	done
	! grep -q "\"$monitor\"" <<<"$have" ||
		machine+=(-device "$monitor,id=monitor,bus=pcie.0,addr=3.0")
}
