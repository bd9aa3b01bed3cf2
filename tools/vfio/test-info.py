#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""vfio-nest info, on copies of machines that lack one thing each

Usage: test-info.py VFIO-NEST.  Builds a small /sys, /proc and /boot for each
case, has vfio-nest look at it and prints TAP.  Then what it says to wrong
arguments, and whether the man page knows all that programs may read.
"""

import json
import os
import re
import struct
import subprocess
import sys
import tempfile

BDF = '0000:01:00.0'
PORT = '0000:00:1c.0'
PHYSFN = '0000:01:00.7'
CONFIG = ('CONFIG_VFIO=m', 'CONFIG_VFIO_PCI=m', 'CONFIG_VFIO_IOMMU_TYPE1=m',
          'CONFIG_IOMMU_NESTING=y', 'CONFIG_VFIO_IOMMU_TYPE1_NESTING=y')
ECAP = 1 << 2 | 1 << 26 | 1 << 29 | 19 << 35 | 1 << 40 | 1 << 42 | 1 << 43
ACS, ATS, PRI, PASID = 0x0d, 0x0f, 0x13, 0x1b


def pci(kind, prefix=True, multi=False, ext=()):
    """Configuration space: kind is the type in the PCI Express capability"""
    cfg = bytearray(4096)
    cfg[0x0e] = 0x80 if multi else 0
    cfg[0x34] = 0x40
    struct.pack_into('<BBH', cfg, 0x40, 0x10, 0, kind << 4 | 2)
    struct.pack_into('<I', cfg, 0x64, prefix << 21)
    pos = 0x100
    for i, (cap, words) in enumerate(ext):
        after = 0 if i == len(ext) - 1 else pos + 0x20
        struct.pack_into('<I', cfg, pos, cap | 1 << 16 | after << 20)
        for j, word in enumerate(words):
            struct.pack_into('<H', cfg, pos + 4 + 2 * j, word)
        pos += 0x20
    return bytes(cfg)


# with PRG Response PASID Required
ENDPOINT = ((ATS, (0, 0)), (PRI, (0, 0x8000)), (PASID, (20 << 8, 0)))
ROOT_ACS = ((ACS, (0x1f, 0x1d)),)


class Machine:
    """Where all is as it should be; a case changes one thing"""
    def __init__(self):
        self.config = list(CONFIG)
        self.cmdline = 'quiet intel_iommu=on,sm_on'
        self.cpu = 'vendor_id : GenuineIntel\n'
        self.unit = '/sys/devices/virtual/iommu/'
        self.iommu = 'dmar0'
        self.ecap = ECAP
        self.driver = 'vfio-pci'
        self.vendor = 0x1b36
        self.device = 0x11e9
        self.denylist = 'N'
        self.group = {}
        self.endpoint = pci(0, ext=ENDPOINT)
        self.physfn = None
        self.port = pci(4, ext=ROOT_ACS)

    def write(self, root):
        def put(path, data):
            path = root + path
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as f:
                f.write(data if isinstance(data, bytes) else data.encode())

        def link(path, to):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            os.symlink(os.path.relpath(root + to,
                                       os.path.dirname(root + path)),
                       root + path)

        put('/proc/sys/kernel/osrelease', '6.12.0\n')
        put('/proc/cmdline', self.cmdline + '\n')
        put('/proc/cpuinfo', self.cpu)
        if self.config is not None:
            put('/boot/config-6.12.0', '\n'.join(self.config) + '\n')
        port = '/sys/devices/pci0000:00/' + PORT
        dev = port + '/' + BDF
        put(port + '/config', self.port)
        put(dev + '/config', self.endpoint)
        put(dev + '/vendor', f'{self.vendor:#06x}\n')
        put(dev + '/device', f'{self.device:#06x}\n')
        put('/sys/module/vfio_pci/parameters/disable_denylist',
            self.denylist + '\n')
        put(dev + '/class', '0x088000\n')
        put(port + '/class', '0x060400\n')
        if self.physfn:
            put(port + '/' + PHYSFN + '/config', self.physfn)
            link(dev + '/physfn', port + '/' + PHYSFN)
        link('/sys/bus/pci/devices/' + BDF, dev)
        link('/sys/bus/pci/devices/' + PORT, port)
        if self.driver:
            os.makedirs(root + '/sys/bus/pci/drivers/' + self.driver)
            link(dev + '/driver', '/sys/bus/pci/drivers/' + self.driver)
        if self.iommu:
            unit = self.unit + self.iommu
            put(unit + '/intel-iommu/ecap', f'{self.ecap:x}\n')
            link(dev + '/iommu', unit)
            group = '/sys/kernel/iommu_groups/7'
            os.makedirs(root + group + '/devices')
            link(dev + '/iommu_group', group)
            link(group + '/devices/' + BDF, dev)
            for name, driver in self.group.items():
                other = '/sys/devices/pci0000:00/' + name
                os.makedirs(root + other)
                os.makedirs(root + '/sys/bus/pci/drivers/' + driver,
                            exist_ok=True)
                link(other + '/driver', '/sys/bus/pci/drivers/' + driver)
                link(group + '/devices/' + name, other)


def set_(**what):
    def change(m):
        for name, value in what.items():
            setattr(m, name, value)
    return change


def no_option(name):
    def change(m):
        m.config = [o for o in m.config if not o.startswith(name + '=')]
    return change


def by_default(m):
    m.cmdline = 'quiet'
    m.config.append('CONFIG_INTEL_IOMMU_SCALABLE_MODE_DEFAULT_ON=y')


# name, change, {id: state} besides "ok", words that must be in the text
CASES = (
    ('complete', lambda m: None, {}, 'all that is needed'),
    ('scalable_mode_by_default', by_default, {}, 'on by default'),
    ('no_vfio', no_option('CONFIG_VFIO'), {'kernel': 'missing'},
     'CONFIG_VFIO'),
    ('no_nesting_option', no_option('CONFIG_VFIO_IOMMU_TYPE1_NESTING'),
     {'kernel': 'missing'}, 'patches'),
    ('no_iommu', set_(iommu=None), {'iommu': 'missing'},
     'turn VT-d on in the firmware'),
    ('no_iommu_asked_for', set_(iommu=None, cmdline='quiet'),
     {'iommu': 'missing'}, 'intel_iommu=on,sm_on'),
    ('no_iommu_off_last',
     set_(iommu=None, cmdline='intel_iommu=on intel_iommu=off'),
     {'iommu': 'missing'}, 'intel_iommu=on,sm_on'),
    ('no_iommu_in_a_guest', set_(iommu=None, cpu='flags : fpu hypervisor\n'),
     {'iommu': 'missing'}, 'hypervisor gives it'),
    ('no_iommu_on_arm', set_(iommu=None, cpu='CPU implementer : 0x41\n'),
     {'iommu': 'missing'}, 'IORT'),
    ('amd', set_(iommu='ivhd0'), {'iommu': 'missing'}, 'AMD'),
    ('virtio', set_(unit='/sys/devices/pci0000:00/0000:00:1d.0/virtio0/iommu/',
                    iommu='0000:00:1d.0'), {'iommu': 'missing'},
     'a virtual IOMMU'),
    ('arm', set_(iommu='smmu3.0x9050000', endpoint=pci(0, ext=(
        ENDPOINT[0], ENDPOINT[2]))), {'iommu': 'unknown', 'pri': 'limited'},
     'both stages, S2FWB (IDR3.FWB) and coherent walks (IDR0.COHACC)'),
    ('arm_pri', set_(iommu='smmu3.0x9050000'),
     {'iommu': 'unknown', 'pri': 'limited'}, 'stall'),
    ('arm_unbound', set_(iommu='smmu3.0x9050000', driver=None),
     {'iommu': 'unknown', 'pri': 'limited', 'driver': 'missing'},
     'vfio-nest info BDF asks the kernel'),
    ('no_scalable_mode', set_(ecap=1 << 40), {'iommu': 'missing'},
     'scalable mode'),
    ('no_nested', set_(ecap=ECAP & ~(1 << 26)), {'iommu': 'missing'},
     'nested translation'),
    ('no_pasid_iommu', set_(ecap=ECAP & ~(1 << 40)),
     {'iommu-pasid': 'limited'}, 'without PASID'),
    ('sm_off', set_(cmdline='intel_iommu=on'), {'scalable-mode': 'missing'},
     'sm_on'),
    ('sm_off_last', set_(cmdline='intel_iommu=on,sm_on intel_iommu=sm_off'),
     {'scalable-mode': 'missing'}, 'off on the command line'),
    ('no_driver', set_(driver=None), {'driver': 'missing'}, 'no driver'),
    ('other_driver', set_(driver='nvme'), {'driver': 'missing'}, 'nvme'),
    ('group_in_use', set_(group={'0000:01:00.1': 'snd_hda'}),
     {'group': 'missing', 'group-size': 'missing'}, '0000:01:00.1 (snd_hda)'),
    ('group_of_two', set_(group={'0000:01:00.1': 'vfio-pci'}),
     {'group-size': 'missing'}, '2 devices'),
    ('no_pasid', set_(endpoint=pci(0, ext=ENDPOINT[:2])),
     {'pasid': 'limited'}, 'no PASID capability'),
    ('no_prefix_port', set_(port=pci(4, prefix=False, ext=ROOT_ACS)),
     {'pasid': 'limited'}, PORT),
    ('no_acs', set_(port=pci(4)), {'pasid': 'limited'}, 'ACS'),
    ('acs_off', set_(port=pci(4, ext=((ACS, (0x1f, 0)),))),
     {'pasid': 'limited'}, 'ACS'),
    ('multifunction_no_acs', set_(endpoint=pci(0, multi=True, ext=ENDPOINT)),
     {'pasid': 'limited'}, 'the device'),
    ('no_ats', set_(endpoint=pci(0, ext=ENDPOINT[2:])), {'ats': 'limited'},
     'no ATS'),
    # why a device that could does not: the IOMMU, the firmware, somebody
    ('no_dt', set_(ecap=ECAP & ~(1 << 2)),
     {'ats': 'limited', 'pri': 'limited'}, 'ECAP.DT'),
    ('noats', set_(cmdline='intel_iommu=on,sm_on pci=realloc,noats'),
     {'ats': 'limited', 'pri': 'limited'}, 'Take noats out'),
    ('no_prs', set_(ecap=ECAP & ~(1 << 29)), {'pri': 'limited'},
     'takes no page requests'),
    ('no_pds', set_(ecap=ECAP & ~(1 << 42)), {'pri': 'limited'},
     'takes no page requests'),
    ('narrow_pss', set_(ecap=ECAP & ~(31 << 35) | 9 << 35),
     {'pasid-width': 'limited'}, 'PASIDs of 10 bits'),
    ('denylist', set_(driver='idxd', vendor=0x8086, device=0x0b25),
     {'denylist': 'missing', 'driver': 'missing'}, 'disable_denylist=1'),
    ('denylist_off', set_(driver='idxd', vendor=0x8086, device=0x0b25,
                          denylist='Y'), {'driver': 'missing'},
     'must be trusted'),
    ('denylist_newer', set_(driver='idxd', vendor=0x8086, device=0x11fb),
     {'driver': 'missing'}, 'bound to idxd'),
    ('no_pri', set_(endpoint=pci(0, ext=(ENDPOINT[0], ENDPOINT[2]))),
     {'pri': 'limited'}, 'no PRI'),
    ('pri_answers_without_pasid',
     set_(endpoint=pci(0, ext=(ENDPOINT[0], (PRI, (0, 0)), ENDPOINT[2]))),
     {'pri': 'limited'}, 'page requests are refused'),
    # nothing of it matters without PASID
    ('pri_no_pasid',
     set_(endpoint=pci(0, ext=(ENDPOINT[0], (PRI, (0, 0))))),
     {'pasid': 'limited'}, 'can ask for pages'),
    ('vf', set_(endpoint=pci(0, ext=ENDPOINT[:1]),
                physfn=pci(0, ext=ENDPOINT)),
     {'pri': 'limited'}, 'PASIDs of 20 bits, those of its PF ' + PHYSFN),
    ('vf_page_requests', set_(endpoint=pci(0, ext=ENDPOINT[:1]),
                              physfn=pci(0, ext=ENDPOINT)),
     {'pri': 'limited'}, 'page requests of a VF are refused'),
    ('vf_no_pasid', set_(endpoint=pci(0, ext=ENDPOINT[:1]),
                         physfn=pci(0, ext=ENDPOINT[:1])),
     {'pasid': 'limited', 'pri': 'limited'},
     'the PF of the device, ' + PHYSFN + ', has no PASID capability'),
    ('no_config_in_the_copy', set_(config=None), {'kernel': 'unknown'},
     'the copy has no /boot/config-6.12.0'),
    ('no_config_no_words', set_(config=None, cmdline='quiet'),
     {'kernel': 'unknown', 'scalable-mode': 'unknown'}, 'may be on by default'),
    ('not_root', set_(endpoint=pci(0, ext=ENDPOINT)[:64]),
     {'pasid': 'unknown'}, 'as root'),
)


# of all devices, what the line of ours says
LISTS = (
    ('list_complete', lambda m: None, 0, 'can nest'),
    ('list_no_nesting_option', no_option('CONFIG_VFIO_IOMMU_TYPE1_NESTING'), 4,
     'lacks nothing but the kernel'),
    ('list_other_driver', set_(driver='nvme'), 4,
     'it is bound to nvme, not to vfio-pci'),
    ('list_arm', set_(iommu='smmu3.0x9050000'), 0,
     'may nest: smmu3.0x9050000 (SMMUv3) needs both stages, S2FWB (IDR3.FWB) '
     'and coherent walks (IDR0.COHACC); only its driver knows whether it has '
     'them'),
    ('list_no_config_in_the_copy', set_(config=None), 0,
     'may nest: that depends on the kernel'),
    # what is mended first comes first
    ('list_no_nested', set_(driver='nvme', ecap=ECAP & ~(1 << 26)), 4,
     'dmar0 (VT-d) has no nested translation'),
)


# arguments, status, words
USAGE = (
    ('count_is_no_number', ('faults', '--count', '1x', BDF), 2, 'how many'),
    ('count_is_negative', ('faults', '--count', '-1', BDF), 2, 'how many'),
    ('faults_of_no_device', ('faults', 'ffff:ff:1f.7'), 4,
     'no PCI function ffff:ff:1f.7'),
    ('info_of_no_device', ('info', 'ffff:ff:1f.7'), 4,
     'no PCI function ffff:ff:1f.7'),
    ('address_with_a_tail', ('info', '01:00.0x'), 2, 'no PCI address'),
    ('address_with_a_sign', ('info', '+0:1.0'), 2, 'no PCI address'),
    ('address_with_a_prefix', ('info', '0x1:00.0'), 2, 'no PCI address'),
    ('address_with_a_blank', ('info', ' 01:00.0'), 2, 'no PCI address'),
    ('address_without_a_bus', ('info', ':00.0'), 2, 'no PCI address'),
    ('address_of_four', ('info', '0:0:0:0.0'), 2, 'no PCI address'),
    ('version', ('--version',), 0, 'vfio-nest 6.'),
)
# each of these says it in a line, and where there is more in a second one
SHORT = (
    ('no_command', ()),
    ('unknown_command', ('nonsense', BDF)),
    ('unknown_option', ('info', '--nonsense')),
    ('option_of_another', ('demo', '--count', '3')),
    ('too_many', ('info', BDF, BDF)),
)


def run_short(tool, args, _status, _words):
    p = subprocess.run([tool, *args], capture_output=True, text=True,
                       timeout=600, check=False)
    if p.returncode != 2:
        return f'status {p.returncode}, not 2: {p.stderr}'
    if len(p.stderr.splitlines()) != 2 or '--help' not in p.stderr:
        return f'not a line, and where help is: {p.stderr}'
    return None


def run_usage(tool, args, status, words):
    p = subprocess.run([tool, *args], capture_output=True, text=True,
                       timeout=600, check=False)
    if p.returncode != status:
        return f'status {p.returncode}, not {status}: {p.stderr}'
    if words not in p.stdout + p.stderr:
        return f'"{words}" is not in: {p.stdout}{p.stderr}'
    return None


# What programs may read: calls whose second word is a name in JSON or an id
NAMES = (
    ('json_keys', r'json_[a-z]+\(&j, "(\w+)"'),
    ('json_fields_of_faults', r'^\t\t"([a-z]+(?:", "[a-z]+)*)",$'),
    ('ids', r'add\(&?s, "([\w-]+)"'),
)


def run_names(_tool, regex, _want, _words):
    here = os.path.dirname(os.path.abspath(__file__))
    names = set()
    for name in ('vfio-nest.c', 'requirements.c', 'faults.c'):
        with open(os.path.join(here, name), encoding='utf-8') as f:
            for found in re.findall(regex, f.read(), re.M):
                names.update(found.split('", "'))
    with open(os.path.join(here, 'vfio-nest.8'), encoding='utf-8') as f:
        page = f.read().replace('\\', '')
    # each is the first word of a line that sets it in bold
    lost = [n for n in sorted(names)
            if not re.search(rf'^\.BR? (.* )?{n}( |$)', page, re.M)]
    if not names:
        return 'no name was found'
    return f'the man page lacks {", ".join(lost)}' if lost else None


def run_list(tool, change, status, words):
    with tempfile.TemporaryDirectory() as root:
        m = Machine()
        change(m)
        m.write(root)
        p = subprocess.run([tool, 'info', '--root', root],
                           capture_output=True, text=True, check=False)
    if p.returncode != status:
        return f'status {p.returncode}, not {status}: {p.stderr}'
    # a long one goes on in the next line
    text = ' '.join(p.stdout.split())
    if not text.endswith(f'{BDF} {words}') or PORT in text:
        return f'"{words}" is not what it says: {p.stdout}'
    return None


def run(tool, change, want, words):
    with tempfile.TemporaryDirectory() as root:
        m = Machine()
        change(m)
        m.write(root)
        both = [subprocess.run([tool, 'info', *opt, '--root', root, BDF],
                               capture_output=True, text=True, check=False)
                for opt in (['--json'], [])]
    got = json.loads(both[0].stdout)
    states = {r['id']: r['state'] for r in got['requirements']
              if r['state'] != 'ok'}
    text = ' '.join(both[1].stdout.split())
    status = 4 if 'missing' in want.values() else 0
    for p in both:
        if p.returncode != status:
            return f'status {p.returncode}, not {status}: {p.stderr}'
    if states != want:
        return f'{states}, not {want}'
    # whether VFIO offers it: nobody asked
    if got['nesting'] is not (False if status else None):
        return f'nesting: {got["nesting"]}'
    if words not in text:
        return f'"{words}" is not in: {text}'
    for line in both[1].stdout.splitlines():
        if len(line) > 80:
            return f'over 80 columns: {line}'
    return None


def main():
    tool = os.path.abspath(sys.argv[1])
    failed = 0
    print('TAP version 13')
    todo = [(run, *c) for c in CASES] + [(run_list, *c) for c in LISTS]
    todo += [(run_usage, *c) for c in USAGE]
    todo += [(run_short, *c, 2, None) for c in SHORT]
    todo += [(run_names, *c, None, None) for c in NAMES]
    print(f'1..{len(todo)}')
    for i, (fn, name, change, want, words) in enumerate(todo, 1):
        why = fn(tool, change, want, words)
        if why:
            print('# ' + why)
            failed += 1
        print(f'{"not ok" if why else "ok"} {i} {name}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
