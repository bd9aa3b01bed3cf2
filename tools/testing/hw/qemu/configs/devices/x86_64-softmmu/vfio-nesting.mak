# SPDX-License-Identifier: GPL-2.0-or-later
# The devices of the test machine: configure --without-default-devices and
# --with-devices-x86_64=vfio-nesting.  What a symbol selects comes along; what
# is only implied, or "default y", has to be named here.
CONFIG_Q35=y
CONFIG_VTD=y
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VIRTIO_RNG=y
CONFIG_ISA_DEBUG=y
CONFIG_SERIAL_PCI=y
CONFIG_EDU=y
CONFIG_IOMMU_MONITOR=y
CONFIG_PASID_TESTDEV=y
CONFIG_AMD_IOMMU=y
CONFIG_VIRTIO_IOMMU=y
