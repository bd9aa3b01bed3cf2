#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Tables from what nesting-bench printed in several boots.

usage: report.py SERIES1 SERIES2 STOCK1 STOCK2 >tables

Two boots each of the kernel with the series and of the one without.  Exit
status 1 if a target is missed or two boots do not agree.
"""

import sys

# The largest submission of the VT-d driver: half of its queue
SUBMIT_MAX = 126
# A call's code is laid out anew by the compiler where the series adds a case
# to a switch or a test; what a call does must not cost more
SLACK = 8

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
# PASIDs given out: 1, some, many, all but one
PASIDS = (1, 1000, 100000, (1 << 20) - 2)
PASID_GROWTH = 1.5
PASID_BYTES = 100


class Missing(Exception):
    pass


class Run:
    """The numbers of one boot, by key"""

    def __init__(self, path):
        self.text = open(path, encoding='ascii').read()
        self.rows = {}
        for line in self.text.splitlines():
            words = line.split()
            if words[0] == 'ats':
                self.rows['ats ' + words[1]] = [int(words[2])]
            else:
                self.rows[words[0]] = [int(w) for w in words[1:]]

    def __getitem__(self, key):
        if key not in self.rows:
            raise Missing(f'"{key}" was not measured')
        return self.rows[key]


class Table:
    """Columns of (name, width), in groups with a title over them"""

    def __init__(self, label, *groups):
        self.label = label
        self.widths = [w for g in groups for _, w in g[1:]]
        titles = (f'{g[0]:^{sum(w for _, w in g[1:])}}' for g in groups)
        print((' ' * (label + 2) + ''.join(titles)).rstrip())
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
                           ('ratio', 7)),
                      ('descriptors', ('type1', 7), ('iommufd', 8)),
                      ('waits', ('type1', 6), ('iommufd', 8)))
        for title, rows in PAIRS:
            print(title)
            for label, ours, theirs in rows:
                a, b = run[ours], run[theirs]
                ok = all(x <= y for x, y in zip(a[:3], b[:3])) and \
                    self.batch(a, label)
                # device-TLB descriptors tell whether ATS was the same
                if a[3] != b[3]:
                    raise Missing(f'"{label}": device-TLB invalidations '
                                  f'differ, {a[3]} and {b[3]}: ATS was not '
                                  'the same')
                table.row(label, a[0], b[0], f'{a[0] / b[0]:.2f}', a[1], b[1],
                          a[2], b[2], verdict=self.verdict(ok, "WORSE"))

    def maps(self, series, stock):
        table = Table(20, ('instructions', ('series', 8), ('stock', 8),
                           ('more', 6)),
                      ('descriptors', ('series', 8), ('stock', 6)),
                      ('waits', ('series', 8), ('stock', 6)))
        for label, key in MAPS:
            a, b = series[key], stock[key]
            for op in ('map', 'unmap'):
                x, y = series[f'{key}.{op}'][0], stock[f'{key}.{op}'][0]
                # the counters are those of both together: unmap has them
                n = (a[1], b[1], a[2], b[2]) if op == 'unmap' else ('',) * 4
                ok = x <= y + SLACK and n[0] == n[1] and n[2] == n[3]
                table.row(f'{op.upper()}_DMA {label}', x, y, f'{x - y:+}', *n,
                          verdict=self.verdict(ok, "WORSE"))

    def alone(self, series, stock):
        table = Table(26, ('instructions', ('series', 8), ('stock', 8)),
                      ('descriptors', ('series', 8), ('stock', 7)),
                      ('waits', ('series', 8), ('stock', 7)))
        for label, key in OURS_ALONE:
            a, b = series[key], stock[key]
            table.row(label, a[0], b[0], a[1], b[1], a[2], b[2])


    def faults(self, run):
        """For each page request: come, be read, be answered"""
        table = Table(13, ('come', ('ring', 5), ('iommufd', 8)),
                      ('read', ('ring', 5), ('iommufd', 8)),
                      ('', ('ratio', 6)),
                      ('answer', ('ring', 6), ('iommufd', 8)),
                      ('all', ('ring', 5), ('iommufd', 8), ('ratio', 6)))
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
        for n in (1, 8):
            row = f'ring-fault-{n}'
            table.row(f'{n}, no answer', run[row + '.raise'][0] // n, '-',
                      run[row + '.read'][0] // n, '-')
        for n in BATCHES:
            waits = run[f'ring-request-rid-{n}'][2]
            theirs = run[f'iommufd-request-rid-{n}'][2]
            print(f'  waits of the queue for {n} answers: {waits}, '
                  f'iommufd {theirs} ' +
                  self.verdict(waits <= -(-n // SUBMIT_MAX), 'WORSE'))
        wakeups = run['ring-wakeups-256'][0]
        print(f'  wakeups of 256 requests: {wakeups} ' +
              self.verdict(wakeups == 1, 'WORSE'))

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


def agree(name, a, b):
    if a.text == b.text:
        return True
    print(f'Two boots of the kernel {name} do not agree:')
    for key in sorted(set(a.rows) | set(b.rows)):
        x, y = a.rows.get(key), b.rows.get(key)
        if x != y:
            print(f'  {key}: {x} and {y}')
    return False


def main(argv):
    if len(argv) != 5:
        sys.exit(__doc__)
    series, series2, stock, stock2 = (Run(p) for p in argv[1:])
    same = [agree('with the series', series, series2),
            agree('without the series', stock, stock2)]
    if not all(same):
        return 1
    report = Report()
    try:
        print('Bind and invalidate: type1 beside iommufd, one kernel, one '
              'device, ATS ' + ('on' if series['ats type1'][0] else 'off'))
        print()
        report.pairs(series)
        print()
        print('MAP_DMA, UNMAP_DMA of a type1v2 container: with the series '
              'and without')
        print()
        report.maps(series, stock)
        print()
        print('Page requests and faults, instructions for each in batches '
              '(iommufd: fault queue)')
        print()
        report.faults(series)
        print()
        print('For information: iommufd with the series (ATS stays on) and '
              'without (ATS goes')
        print('off with a nested attach: no device TLB, fewer descriptors)')
        print()
        report.alone(series, stock)
        print()
        print('PASIDs that are unique on the host')
        print()
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
