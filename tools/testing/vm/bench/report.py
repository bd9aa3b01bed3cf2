#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Tables from what nesting-bench printed in several boots.

usage: report.py SERIES1 SERIES2 STOCK1 STOCK2 >tables

Two boots each of the kernel with the series and of the one without.  Exit
status 1 if a target is missed or two boots do not agree.
"""

import sys

# VFIO_NESTING_FORMAT_SMMUV3
SMMUV3 = 2
# The largest submission of the VT-d driver: half of its queue
SUBMIT_MAX = 126
# SMMUv3: half of the model's queue; with ATC_INV, what is copied at a time
SMMU_HALF_QUEUE = 512
SMMU_BATCH = 32
# A call's code is laid out anew by the compiler where the series adds a case
# to a switch or a test; what a call does must not cost more.  A call that a
# timer always interrupts has the host's part in it.
SLACK = 12
SLACK_PART = 0.0002
# On SMMUv3, who waits is told of a device that did not answer
SLACK_WAIT = 16
# Two boots may differ by so many instructions, or by this part of them, where
# a device's timer met the loop that waits for it elsewhere; by nothing else
NOISE = 16
NOISE_PART = 0.002

PAIRS = (
    ('Requests with a PASID (iommufd: without, it has no others)', (
        ('bind + unbind', 'type1-pasid-cycle', 'iommufd-blocked-cycle'),
        ('bind over a binding', 'type1-pasid-replace', 'iommufd-replace'),
        ('invalidate 1', 'type1-pasid-inval-1', 'iommufd-inval-1'),
        ('invalidate 16', 'type1-pasid-inval-16', 'iommufd-inval-16'),
        ('invalidate 256', 'type1-pasid-inval-256', 'iommufd-inval-256'))),
    ('Requests without PASID', (
        ('bind + unbind', 'type1-rid-cycle', 'iommufd-cycle'),
        ('bind over a binding', 'type1-rid-replace', 'iommufd-replace'),
        ('invalidate 1', 'type1-rid-inval-1', 'iommufd-inval-1'),
        ('invalidate 16', 'type1-rid-inval-16', 'iommufd-inval-16'),
        ('invalidate 256', 'type1-rid-inval-256', 'iommufd-inval-256'))),
)

# Commands and waits that SMMUv3 needs at least, and how many more there may
# be for a reason that BENCH.rst gives
SMMU_ROWS = (
    ('The table of all PASIDs, and of requests without', (
        ('bind + unbind', 'type1-rid-cycle', 6, 6, 1),
        ('bind over a binding', 'type1-rid-replace', 3, 3, 0),
        ('invalidate 1', 'type1-rid-inval-1', 1, 1, 0),
        ('invalidate 16', 'type1-rid-inval-16', 16, 1, 0),
        ('invalidate 256', 'type1-rid-inval-256', 256,
         -(-256 // SMMU_HALF_QUEUE), 0),
        ('invalidate a range of 256', 'type1-rid-range', 1, 1, 0),
        ('device TLB, 1', 'type1-rid-dtlb-1', 1, 1, 0),
        ('device TLB, 16', 'type1-rid-dtlb-16', 16, 1, 0),
        ('device TLB, 256', 'type1-rid-dtlb-256', 256, 256 // SMMU_BATCH,
         0))),
    ('One PASID of it: a descriptor in the guest\'s memory', (
        ('bind + unbind', 'type1-pasid-cycle', 4, 4, 0),
        ('bind over a binding', 'type1-pasid-replace', 3, 3, 0))),
)

MAPS = (('4 KiB', 'map-1'), ('64 KiB', 'map-16'), ('2 MiB', 'map-512'))
OURS_ALONE = (
    ('alloc + attach + destroy', 'iommufd-replace'),
    ('invalidate 1', 'iommufd-inval-1'),
    ('invalidate 16', 'iommufd-inval-16'),
    ('invalidate 256', 'iommufd-inval-256'),
)

# Page requests at once, and what they may cost in batches, of iommufd's
BATCHES = (1, 16, 256)
FAULT_SHARE = 0.5
# Accesses that wait at once: one for each queue of the device
BURSTS = (1, 8)
# PASIDs given out: 1, some, many, all but one
PASIDS = (1, 1000, 100000, (1 << 20) - 2)
PASID_GROWTH = 1.5
PASID_BYTES = 100


class Missing(Exception):
    pass


class Run:
    """The numbers of one boot, by key"""

    def __init__(self, path):
        self.rows = {}
        for line in open(path, encoding='ascii'):
            words = line.split()
            if words[0] == 'ats':
                words[0:2] = ['ats ' + words[1]]
            self.rows[words[0]] = [int(w) for w in words[1:]]

    def __getitem__(self, key):
        if key not in self.rows:
            raise Missing(f'"{key}" was not measured')
        return self.rows[key]

    def least(self, other):
        """What disturbs a measurement only adds to it"""
        for key, row in self.rows.items():
            row[0] = min(row[0], other.rows[key][0])
        return self


class Table:
    """Columns of (name, width), in groups with a title over them"""

    def __init__(self, label, *groups):
        self.label = label
        self.widths = [w for g in groups for _, w in g[1:]]
        titles = (f'{g[0]:^{sum(w for _, w in g[1:])}}' for g in groups)
        print((' ' * (label + 2) + ''.join(titles)).rstrip())
        if any(name for g in groups for name, _ in g[1:]):
            self.row('', *(name for g in groups for name, _ in g[1:]))

    def row(self, label, *cells, verdict=''):
        cells = (f'{c:>{w}}' for c, w in zip(cells, self.widths))
        print(f'  {label:{self.label}}{"".join(cells)} {verdict}'.rstrip())


class Report:
    def __init__(self):
        self.missed = 0

    def verdict(self, ok, why):
        if ok:
            return 'OK'
        self.missed += 1
        return why

    def batch(self, row, label):
        """One wait for each submission that the queue has room for"""
        return not label.startswith('invalidate') or \
            row[2] <= -(-row[1] // SUBMIT_MAX)

    def pairs(self, run):
        table = Table(20, ('instructions', ('type1', 7), ('iommufd', 8),
                           ('ratio', 6)),
                      ('descriptors', ('type1', 6), ('iommufd', 8)),
                      ('waits', ('', 7)), ('calls', ('', 6)))
        for title, rows in PAIRS:
            print(title)
            for label, ours, theirs in rows:
                a, b = run[ours], run[theirs]
                ok = all(x <= y for x, y in zip(a[:3], b[:3])) and \
                    a[4] <= b[4] and self.batch(a, label)
                # device-TLB descriptors tell whether ATS was the same
                if a[3] != b[3]:
                    raise Missing(f'"{label}": device-TLB invalidations '
                                  f'differ, {a[3]} and {b[3]}: ATS was not '
                                  'the same')
                table.row(label, a[0], b[0], f'{a[0] / b[0]:.2f}', a[1], b[1],
                          f'{a[2]}  {b[2]}', f'{a[4]}  {b[4]}',
                          verdict=self.verdict(ok, 'WORSE'))

    def smmu(self, run):
        table = Table(27, ('instructions', ('', 12)),
                      ('commands', ('', 13)), ('waits', ('', 9)),
                      ('calls', ('', 7)))
        for title, rows in SMMU_ROWS:
            print(title)
            for label, key, cmds, waits, more in rows:
                a = run[key]
                # with fewer, something was not invalidated
                ok = 0 <= a[1] - cmds <= more and 0 <= a[2] - waits <= more
                table.row(label, a[0], f'{a[1]} ({cmds})', f'{a[2]} ({waits})',
                          a[4], verdict=self.verdict(ok, 'WRONG'))

    def maps(self, series, stock, queued, slack_wait=0):
        table = Table(23, ('instructions', ('series', 8), ('stock', 8),
                           ('more', 6)),
                      (queued, ('series', 8), ('stock', 6)),
                      ('waits', ('series', 8), ('stock', 6)))
        for label, key in MAPS:
            a, b = series[key], stock[key]
            for op in ('map', 'unmap'):
                x, y = series[f'{key}.{op}'][0], stock[f'{key}.{op}'][0]
                # the counters are those of both together: unmap has them
                n = (a[1], b[1], a[2], b[2]) if op == 'unmap' else ('',) * 4
                slack = max(SLACK, SLACK_PART * y)
                if op == 'unmap':
                    slack += slack_wait * b[2]
                ok = x <= y + slack and n[0] == n[1] and n[2] == n[3]
                table.row(f'{op.upper()}_DMA {label}', x, y, f'{x - y:+}', *n,
                          verdict=self.verdict(ok, 'WORSE'))
        # No more for many pages than for one
        first = series['map-nested-1']
        for label, key in MAPS:
            a = series[key.replace('map', 'map-nested')]
            unmap = series[key.replace('map', 'map-nested') + '.unmap'][0]
            ok = a[1:3] == first[1:3]
            table.row(f'UNMAP_DMA {label}, bound', unmap, '', '', a[1], '',
                      a[2], '', verdict=self.verdict(ok, 'WORSE'))

    def alone(self, series, stock):
        table = Table(26, ('instructions', ('series', 8), ('stock', 8)),
                      ('descriptors', ('series', 8), ('stock', 7)),
                      ('waits', ('series', 8), ('stock', 7)))
        for label, key in OURS_ALONE:
            a, b = series[key], stock[key]
            table.row(label, a[0], b[0], a[1], b[1], a[2], b[2])

    def faults(self, run):
        """For each page request: come, be read, be answered"""
        table = Table(13, ('come', ('ring', 5), ('queue', 6)),
                      ('read', ('ring', 5), ('queue', 6)),
                      ('', ('ratio', 6)),
                      ('answer', ('ring', 6), ('queue', 6)),
                      ('all', ('ring', 6), ('queue', 6), ('ratio', 6)))
        for n in BATCHES:
            a, b = ({step: run[f'{who}-request-rid-{n}{step}'][0]
                     for step in ('.raise', '.read', '.respond', '')}
                    for who in ('ring', 'iommufd'))
            delivery = (a['.raise'] + a['.read']) / (b['.raise'] + b['.read'])
            whole = a[''] / b['']
            ok = n < 16 or (delivery <= FAULT_SHARE and whole <= FAULT_SHARE)
            table.row(f'{n}, no PASID',
                      a['.raise'] // n, b['.raise'] // n,
                      a['.read'] // n, b['.read'] // n, f'{delivery:.2f}',
                      a['.respond'] // n, b['.respond'] // n,
                      a[''] // n, b[''] // n, f'{whole:.2f}',
                      verdict=self.verdict(ok, 'WORSE'))
        for n in BATCHES:
            row = f'ring-request-pasid-{n}'
            table.row(f'{n}, PASID', run[row + '.raise'][0] // n, '-',
                      run[row + '.read'][0] // n, '-', '-',
                      run[row + '.respond'][0] // n, '-',
                      run[row][0] // n, '-')
        for n in BURSTS:
            row = f'ring-fault-{n}'
            table.row(f'{n}, no answer', run[row + '.raise'][0] // n, '-',
                      run[row + '.read'][0] // n, '-')
        for n in BATCHES:
            a, b = (run[f'{who}-request-rid-{n}'] for who in ('ring', 'iommufd'))
            ok = a[2] <= -(-n // SUBMIT_MAX) and a[4] <= b[4]
            print(f'  {n} come and are answered: waits {a[2]}, iommufd {b[2]}; '
                  f'system calls {a[4]}, iommufd {b[4]} ' +
                  self.verdict(ok, 'WORSE'))
        self.wakeups(run, 256, 'page requests')

    def wakeups(self, run, n, what):
        wakeups = run[f'ring-wakeups-{n}'][0]
        print(f'  wakeups of {n} {what}: {wakeups} ' +
              self.verdict(wakeups == 1, 'WORSE'))

    def stalls(self, run):
        """For each access that waits: come, be read, be answered"""
        table = Table(20, ('come', ('', 7)), ('read', ('', 7)),
                      ('answer', ('', 8)), ('all', ('', 7)),
                      ('commands', ('', 11)), ('waits', ('', 8)),
                      ('calls', ('', 6)))
        for who, label in (('rid', 'no PASID'), ('pasid', 'PASID')):
            for n in BURSTS:
                key = f'ring-stall-{who}-{n}'
                a = run[key]
                steps = [run[f'{key}.{step}'][0]
                         for step in ('raise', 'read', 'respond')]
                ok = a[1] == n and not a[2] and a[4] <= 1
                table.row(f'{n} waiting, {label}', *(i // n for i in steps),
                          sum(steps) // n, f'{a[1]} ({n})', f'{a[2]} (0)',
                          a[4], verdict=self.verdict(ok, 'WRONG'))
        for n in BURSTS:
            key = f'ring-fault-{n}'
            a = run[key]
            steps = [run[f'{key}.{step}'][0] for step in ('raise', 'read')]
            ok = not a[1] and not a[2] and not a[4]
            table.row(f'{n}, no answer', *(i // n for i in steps), '-',
                      sum(steps) // n, f'{a[1]} (0)', f'{a[2]} (0)', a[4],
                      verdict=self.verdict(ok, 'WRONG'))
        self.wakeups(run, 8, 'accesses')

    def pasids(self, run):
        first = run[f'pasid-cycle-{PASIDS[0]}'][0]
        print(f'{"":38}{"instructions":>12}{"ratio":>7}')
        print(f'  {"an ioctl that does nothing, twice":36}'
              f'{2 * run["pasid-bare"][0]:12}')
        for n in PASIDS:
            cost = run[f'pasid-cycle-{n}'][0]
            ok = cost <= PASID_GROWTH * first
            print(f'  {f"alloc + free, {n} given out":36}{cost:12}'
                  f'{cost / first:7.2f} {self.verdict(ok, "GROWS")}')
        first = run[f'ida-cycle-{PASIDS[0]}'][0]
        for n in PASIDS:
            cost = run[f'ida-cycle-{n}'][0]
            print(f'  {f"ida_alloc + ida_free, {n} out":36}{cost:12}'
                  f'{cost / first:7.2f}')
        each, whole = run['pasid-each.free'][0], run['pasid-range.free'][0]
        print(f'  {"10 frees, the space is full":36}{each:12}')
        print(f'  {"FREE of all, 10 owned":36}{whole:12}'
              f'{whole / each:7.2f} {self.verdict(whole <= each, "WORSE")}')
        size = run['pasid-bytes'][0]
        print(f'  {"bytes of memory for each":36}{size:12}{"":7} '
              f'{self.verdict(size <= PASID_BYTES, "LARGE")}')


def close(x, y):
    """Instructions nearly the same, all else the same"""
    return len(x) == len(y) and x[1:] == y[1:] and \
        abs(x[0] - y[0]) <= max(NOISE, NOISE_PART * min(x[0], y[0]))


def agree(name, a, b):
    far, noise = [], 0
    for key in sorted(set(a.rows) | set(b.rows)):
        x, y = a.rows.get(key, []), b.rows.get(key, [])
        if x and y and close(x, y):
            noise = max(noise, abs(x[0] - y[0]))
        else:
            far.append(f'  {key}: {x} and {y}')
    if far:
        print(f'Two boots of the kernel {name} do not agree:', *far, sep='\n')
    elif noise:
        print(f'Two boots of the kernel {name} differ by {noise} instructions '
              'at most.')
    return not far


def title(*lines):
    print('\n' + '\n'.join(lines) + '\n')


def report_vtd(report, series, stock):
    title('Bind and invalidate: type1 beside iommufd, one kernel, one device, '
          'ATS ' + ('on' if series['ats type1'][0] else 'off'))
    report.pairs(series)
    title('MAP_DMA, UNMAP_DMA of a type1v2 container: with the series and '
          'without;', 'below a table that is bound')
    report.maps(series, stock, 'descriptors')
    title('Page requests and faults: the ring beside iommufd\'s queue, '
          'instructions for', 'each in batches')
    report.faults(series)
    title('For information: iommufd with the series (ATS stays on) and '
          'without (ATS goes',
          'off with a nested attach: no device TLB, fewer descriptors)')
    report.alone(series, stock)


def report_smmu(report, series, stock):
    title('Bind and invalidate on SMMUv3, ATS ' +
          ('on.' if series['ats type1'][0] else 'off.') +
          '  Linux 6.12 nests on Arm by no interface',
          'of its own, so there is no iommufd beside it; in brackets what the',
          'architecture needs at least.')
    report.smmu(series)
    title('MAP_DMA, UNMAP_DMA of a type1v2 container: with the series and '
          'without;', 'below a table that is bound')
    report.maps(series, stock, 'commands', SLACK_WAIT)
    title('Accesses that wait for a page (stalls), and events: instructions '
          'for each')
    report.stalls(series)


def main(argv):
    if len(argv) != 5:
        sys.exit(__doc__)
    series, series2, stock, stock2 = (Run(p) for p in argv[1:])
    same = [agree('with the series', series, series2),
            agree('without the series', stock, stock2)]
    if not all(same):
        return 1
    series.least(series2)
    stock.least(stock2)
    report = Report()
    try:
        if series['format'][0] == SMMUV3:
            report_smmu(report, series, stock)
        else:
            report_vtd(report, series, stock)
        title('PASIDs that are unique on the host')
        report.pasids(series)
    except Missing as e:
        print(f'report.py: {e}')
        return 1
    print()
    if report.missed:
        print(f'{report.missed} rows miss their target.')
    else:
        print('Every target is met.')
    return bool(report.missed)


if __name__ == '__main__':
    sys.exit(main(sys.argv))
