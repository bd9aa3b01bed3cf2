#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Count the results in KTAP or TAP output, nested or not.

ktap.py [--status N] [--quiet] FILE   prints the tests that did not pass, and
                                      last "P passed, F failed, S skipped"
ktap.py --self-test                   tests itself, in KTAP

A test with subtests counts as its subtests; it counts as a failure of its own
where it failed and no subtest did.  What a plan announced and did not come is
a failure, and so is output without a plan, a result twice or out of order, a
"Bail out!", and a status that is not 0 where nothing failed.
"""

import re
import sys

RESULT = re.compile(r'(not ok|ok)\b\s*(\d+)?\s*(?:-\s+)?(.*)$')
PLAN = re.compile(r'1\.\.(\d+)\s*(?:#\s*(.*))?$')
VERSION = re.compile(r'K?TAP version \d+\s*$')
SUBTEST = re.compile(r'#\s*Subtest:\s*(.*)$')
DIRECTIVE = re.compile(r'(?:^|\s)#\s*(SKIP|TODO|XFAIL)\b\s*(.*)$', re.I)


class Level:
    """The results at one depth of indentation, below one parent."""

    def __init__(self, indent, name=''):
        self.indent = indent
        self.name = name
        self.plan = None
        self.skip_all = None
        self.seen = 0
        self.counts = [0, 0, 0]


class Ktap:
    """Feed it lines; then ask finish() for the counts."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []
        self.stack = []
        # counts of the levels closed just now, for the parent's result
        self.below = None
        self.results = 0

    def fail(self, name, why=''):
        self.failed += 1
        self.failures.append(f'{name}: {why}' if why else name)

    def path(self, name=''):
        parts = [level.name for level in self.stack if level.name]
        return ' / '.join(parts + ([name] if name else [])) or 'output'

    def close(self, vouched=False):
        """End the innermost level: is its plan kept?"""
        level = self.stack[-1]
        where = self.path()
        self.stack.pop()
        if level.plan is None:
            # KUnit announces no number of parameters: their parent, whose
            # result has come, vouches for them
            if level.seen and not vouched:
                self.fail(where, 'no plan')
                level.counts[1] += 1
        elif level.seen != level.plan:
            missing = level.plan - level.seen
            if missing > 0:
                self.failed += missing
                level.counts[1] += missing
                self.failures.append(f'{where}: {missing} of {level.plan} '
                                     'tests gave no result')
            else:
                self.fail(where, f'{level.seen} results, planned were '
                                 f'{level.plan}')
                level.counts[1] += 1
        elif level.plan == 0 and level.skip_all is not None:
            self.skipped += 1
            level.counts[2] += 1
            self.skips.append(f'{where}: {level.skip_all}')
        elif level.plan == 0:
            self.fail(where, 'no tests')
            level.counts[1] += 1
        if self.stack:
            for i in range(3):
                self.stack[-1].counts[i] += level.counts[i]
        return level.counts

    def unwind(self, indent, vouched=False):
        """Close what is deeper than indent."""
        while self.stack and self.stack[-1].indent > indent:
            self.below = self.close(vouched)

    def level(self, indent):
        self.unwind(indent)
        if not self.stack or self.stack[-1].indent < indent:
            self.stack.append(Level(indent))
        return self.stack[-1]

    def document(self, indent):
        """A version line, or a plan where there is one: results anew"""
        level = self.level(indent)
        if level.plan is not None or level.seen:
            name = level.name
            self.close()
            self.below = None
            self.stack.append(Level(indent, name))
        return self.stack[-1]

    def feed(self, line):
        line = line.rstrip('\r\n')
        text = line.lstrip(' \t')
        indent = len(line) - len(text)

        if VERSION.match(text):
            self.document(indent)
            return
        m = PLAN.match(text)
        if m:
            level = self.level(indent)
            if level.plan is not None and level.seen >= level.plan:
                level = self.document(indent)
            elif level.plan is not None:
                self.fail(self.path(), 'two plans')
            level.plan = int(m.group(1))
            if m.group(2) and m.group(2).upper().startswith('SKIP'):
                level.skip_all = m.group(2)[4:].strip() or 'skipped'
            return
        m = SUBTEST.match(text)
        if m:
            # KUnit names it inside, others before what follows
            if not self.stack or self.stack[-1].indent < indent:
                self.level(indent)
            elif self.stack[-1].indent == indent and \
                    (self.stack[-1].plan is not None or self.stack[-1].seen):
                self.stack.append(Level(indent + 1, m.group(1)))
                return
            if self.stack[-1].indent == indent and not self.stack[-1].name:
                self.stack[-1].name = m.group(1)
            return
        if text.startswith('Bail out!'):
            self.fail(self.path(), text)
            return
        m = RESULT.match(text)
        # "ok" without a number, deep in some text, is no result
        if m and (m.group(2) or indent == 0):
            self.result(indent, m)

    def result(self, indent, m):
        self.below = None
        self.unwind(indent, vouched=True)
        below = self.below
        self.below = None
        level = self.level(indent)
        level.seen += 1
        self.results += 1
        ok = m.group(1) == 'ok'
        name = m.group(3)
        directive = DIRECTIVE.search(name)
        if directive:
            name = name[:directive.start()]
        name = re.sub(r'\s+#.*$', '', name).strip() or f'test {level.seen}'
        if m.group(2) and int(m.group(2)) != level.seen:
            self.fail(self.path(name), f'number {m.group(2)}, '
                                       f'expected {level.seen}')
            level.counts[1] += 1
            level.seen = int(m.group(2))
        what = directive.group(1).upper() if directive else ''
        if below is not None and sum(below):
            if not ok and not below[1] and what not in ('TODO', 'XFAIL'):
                self.fail(self.path(name), 'failed, its subtests did not')
                level.counts[1] += 1
            return
        if what == 'SKIP':
            self.skipped += 1
            level.counts[2] += 1
            self.skips.append(self.path(name) + ': ' +
                              (directive.group(2) or 'skipped'))
        elif ok or what in ('TODO', 'XFAIL'):
            self.passed += 1
            level.counts[0] += 1
        else:
            self.fail(self.path(name))
            level.counts[1] += 1

    def finish(self, status=0):
        while self.stack:
            self.close()
        if not self.results and not self.skipped and not self.failed:
            self.fail('output', 'no test results')
        elif status and not self.failed:
            self.fail('output', f'exit status {status} although no test '
                                'failed')
        return self.passed, self.failed, self.skipped


def count(text, status=0):
    ktap = Ktap()
    for line in text.splitlines():
        ktap.feed(line)
    ktap.finish(status)
    return ktap


SELF_TESTS = [
    ('flat', (2, 1, 1), 0, '''TAP version 13
1..4
ok 1 a
not ok 2 b
ok 3 c # SKIP no device
ok 4 - d
'''),
    ('a result is missing', (1, 1, 0), 0, 'TAP version 13\n1..2\nok 1 a\n'),
    ('nothing at all', (0, 1, 0), 0, 'some text\n'),
    ('empty', (0, 1, 0), 0, ''),
    ('no plan', (1, 1, 0), 0, 'ok 1 a\n'),
    ('plan last', (1, 0, 0), 0, 'ok 1 a\n1..1\n'),
    ('more than planned', (2, 1, 0), 0, '1..1\nok 1 a\nok 2 b\n'),
    ('wrong number', (2, 1, 0), 0, '1..3\nok 1 a\nok 3 b\n'),
    ('twice the same number', (2, 2, 0), 0, '1..2\nok 1 a\nok 1 a\n'),
    ('all skipped', (0, 0, 1), 0, 'TAP version 13\n1..0 # SKIP no device\n'),
    ('all skipped, kselftest status', (0, 1, 1), 4,
     'TAP version 13\n1..0 # SKIP no device\n'),
    ('plan of none', (0, 1, 0), 0, 'TAP version 13\n1..0\n'),
    ('bail out', (1, 2, 0), 0, '1..2\nok 1 a\nBail out! broken\n'),
    ('status', (1, 1, 0), 1, '1..1\nok 1 a\n'),
    ('status of a failure', (0, 1, 0), 1, '1..1\nnot ok 1 a\n'),
    ('xfail', (1, 0, 0), 0, '1..1\nnot ok 1 a # XFAIL known\n'),
    ('two documents', (3, 0, 0), 0, '''TAP version 13
1..2
ok 1 a
ok 2 b
TAP version 13
1..1
ok 1 c
'''),
    ('first of two documents cut', (2, 1, 0), 0, '''TAP version 13
1..2
ok 1 a
TAP version 13
1..1
ok 1 c
'''),
    ('KUnit', (2, 1, 0), 0, '''KTAP version 1
1..1
    KTAP version 1
    # Subtest: pasid
    # module: iommu
    1..3
    ok 1 one
    # two: EXPECTATION FAILED at x.c:1
    not ok 2 two
    ok 3 three
# pasid: pass:2 fail:1 skip:0 total:3
not ok 1 pasid
'''),
    ('nested by a runner', (2, 0, 1), 0, '''KTAP version 1
1..2
# Subtest: a
    TAP version 13
    1..2
    ok 1 x
    ok 2 y # SKIP z
ok 1 a
# Subtest: b
    TAP version 13
    1..1
    ok 1 x
ok 2 b
'''),
    ('subtest dies', (1, 2, 0), 0, '''KTAP version 1
1..1
# Subtest: a
    TAP version 13
    1..3
    ok 1 x
Segmentation fault
not ok 1 a
'''),
    ('subtest dies in silence', (0, 1, 0), 0, '''KTAP version 1
1..1
# Subtest: a
not ok 1 a # exit status 139
'''),
    ('parent fails alone', (1, 1, 0), 0, '''KTAP version 1
1..1
    1..1
    ok 1 x
not ok 1 a
'''),
    ('parent ok, subtest missing', (1, 1, 0), 0, '''KTAP version 1
1..1
    1..2
    ok 1 x
ok 1 a
'''),
    ('guest dies in the middle', (1, 2, 0), 0, '''KTAP version 1
1..1
    1..2
    ok 1 x
'''),
    ('three levels', (2, 1, 0), 0, '''KTAP version 1
1..1
# Subtest: runner
    KTAP version 1
    1..1
        KTAP version 1
        # Subtest: suite
        1..3
        ok 1 a
        not ok 2 b
        ok 3 c
    not ok 1 suite
not ok 1 runner
'''),
    ('KUnit with parameters', (3, 0, 0), 0, '''KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..2
        KTAP version 1
        # Subtest: parse
        ok 1 zero
        ok 2 huge
    ok 1 parse
    ok 2 other
ok 1 suite
'''),
    ('parameters cut short', (1, 3, 0), 0, '''KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..1
        KTAP version 1
        # Subtest: parse
        ok 1 zero
'''),
    ('diagnostics', (1, 0, 0), 0, '''TAP version 13
1..1
# Starting 1 tests from 1 test cases.
#  RUN           x.y ...
#            OK  x.y
ok 1 x.y
# PASSED: 1 / 1 tests passed.
# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0
'''),
    ('carriage returns', (1, 0, 0), 0, '1..1\r\nok 1 a\r\n'),
]


def self_test():
    print('KTAP version 1')
    print(f'1..{len(SELF_TESTS)}')
    bad = 0
    for i, (name, want, status, text) in enumerate(SELF_TESTS, 1):
        k = count(text, status)
        got = (k.passed, k.failed, k.skipped)
        if got != want:
            bad += 1
            print(f'# {name}: want {want}, got {got}: {k.failures}')
        print(f'{"ok" if got == want else "not ok"} {i} {name}')
    return 1 if bad else 0


def main(argv):
    status = 0
    if argv[1:] == ['--self-test']:
        return self_test()
    args = argv[1:]
    if len(args) > 1 and args[0] == '--status':
        status = int(args[1])
        args = args[2:]
    if len(args) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    with open(args[0], encoding='utf-8', errors='replace') as f:
        k = count(f.read(), status)
    for name in k.failures:
        print(f'  FAILED  {name}')
    for name in k.skips:
        print(f'  skipped {name}')
    print(f'{k.passed} passed, {k.failed} failed, {k.skipped} skipped')
    return 1 if k.failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
