import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WalkPlan } from '../../src/fs/walk-plan.ts';
import { nextIn } from '../../src/fs/walk-step.ts';
import { p } from './remote-fixture.ts';

const paths = (...names: string[]) => names.map((name) => p(name));
/** All that the plan gives out now. */
function asked(plan: WalkPlan): string[] {
  const found: string[] = [];
  for (let next = plan.next(); next !== undefined; next = plan.next()) found.push(next);
  return found;
}

test('directories of a directory come before what follows it', () => {
  const plan = new WalkPlan();
  plan.start(p('a'), paths('b', 'c'));
  assert.equal(plan.next(), 'b');
  plan.listed(p('a'), paths('a/1', 'a/2'));
  assert.deepEqual(asked(plan), ['a/1', 'a/2', 'c']);
  plan.listed(p('a/2'), paths('a/2/x'));
  plan.listed(p('b'), paths('b/1'));
  plan.listed(p('a/1'), paths('a/1/y'));
  assert.deepEqual(asked(plan), ['a/1/y', 'a/2/x', 'b/1']);
});

test('what is not planned is not taken in', () => {
  const plan = new WalkPlan();
  plan.start(p('a'), paths('b'));
  plan.listed(p('elsewhere'), paths('elsewhere/x'));
  assert.equal(plan.opened(p('elsewhere')), undefined);
  assert.deepEqual(asked(plan), ['b']);
});

test('a walk that comes by another way finds its directories all the same', () => {
  const plan = new WalkPlan();
  plan.start(p('a'), paths('b', 'c', 'd'));
  assert.deepEqual(plan.opened(p('c')), []);
  assert.deepEqual(asked(plan), ['b', 'd']);
  plan.listed(p('c'), paths('c/1'));
  assert.deepEqual(asked(plan), ['c/1']);
  assert.deepEqual(plan.opened(p('b')), []);
});

test('directories that a walk leaves out are given up after a while', () => {
  const plan = new WalkPlan();
  const names = Array.from({ length: 40 }, (_, index) => `d${String(index).padStart(2, '0')}`);
  plan.start(p('top'), paths('left-out', ...names));
  plan.next();
  const given: string[] = [];
  for (const name of names) given.push(...(plan.opened(p(name)) ?? assert.fail()));
  assert.deepEqual(given, ['left-out']);
  assert.ok(plan.size < 25, `${plan.size} planned`);
});

test('a plan is bounded', () => {
  const plan = new WalkPlan(10);
  plan.start(p('a'), paths(...Array.from({ length: 50 }, (_, index) => `b${index}`)));
  assert.equal(plan.size, 10);
  plan.listed(p('b1'), paths('b1/x'));
  assert.equal(asked(plan).length, 9);
});

test('the next directory is told in each order', () => {
  const names = [
    { path: p('m'), inode: 30 },
    { path: p('z'), inode: 10 },
    { path: p('a'), inode: 20 },
  ];
  assert.equal(nextIn(names, 'listed', p('m')), 'z');
  assert.equal(nextIn(names, 'inode', p('z')), 'a');
  assert.equal(nextIn(names, 'name', p('a')), 'm');
  assert.equal(nextIn(names, 'listed', p('a')), undefined);
  assert.equal(nextIn(names, 'inode', p('m')), undefined);
  assert.equal(nextIn(names, 'name', p('absent')), undefined);
});
