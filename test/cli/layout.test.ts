import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ago, columns, rate, roundTrip, wrapped } from '../../src/cli/layout.ts';

describe('layout', () => {
  it('lines end before column 81, the others stand below the first, a long word stays whole', () => {
    const text = `${'word '.repeat(40)}end`;
    const lines = wrapped('  name: ', text);
    assert.ok(lines.length > 2);
    for (const line of lines) assert.ok(line.length <= 80, line);
    for (const line of lines.slice(1)) assert.match(line, /^ {8}\S/);
    assert.equal(lines.map((line) => line.slice(8)).join(' '), text);
    assert.deepEqual(wrapped('a: ', 'x'.repeat(100)), [`a: ${'x'.repeat(100)}`]);
    assert.deepEqual(wrapped('', `b ${'x'.repeat(78)}`), [`b ${'x'.repeat(78)}`]);
    assert.deepEqual(wrapped('', `b ${'x'.repeat(79)}`), ['b', 'x'.repeat(79)]);
    assert.deepEqual(wrapped('a: ', ''), ['a:']);
  });

  it('columns are as wide as their widest cell', () => {
    assert.deepEqual(columns([['a', 'b'], ['long', ''], ['x']]), ['a     b', 'long', 'x']);
    assert.deepEqual(columns([]), []);
  });

  it('times and amounts have units that fit', () => {
    assert.deepEqual([-5, 59_400, 60_000, 3_600_000, 172_800_000].map(ago), [
      '0 s ago',
      '59 s ago',
      '1 min ago',
      '1 h ago',
      '2 days ago',
    ]);
    assert.deepEqual([0, 999_949, 1_200_000].map(rate), ['0.0 kB/s', '999.9 kB/s', '1.2 MB/s']);
    assert.deepEqual([null, 1.26, 812.4].map(roundTrip), ['-', '1.3 ms', '812 ms']);
  });
});
