import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromText } from '../../src/bytestring.ts';
import { LookForesight } from '../../src/fs/look-foresight.ts';

test('contents are wanted once most looks were followed by an opening, and no more when they are not', () => {
  const foresight = new LookForesight();
  const isWanting = () => foresight.wantBytes > 0;
  let count = 0;
  const look = (isOpened: boolean) => {
    const path = fromText(`f${count++}`);
    foresight.looked(path);
    if (isOpened) foresight.opened(path);
  };
  for (let index = 0; index < 5; index++) look(true);
  assert.equal(isWanting(), false);
  for (let index = 0; index < 5; index++) look(true);
  assert.ok(isWanting());
  // Whatever is opened: only what was looked at counts.
  for (let index = 0; index < 100; index++) foresight.opened(fromText('other'));
  let asked = 0;
  while (isWanting()) {
    look(false);
    asked++;
  }
  assert.ok(asked < 30, `${asked} for nothing`);
});

test('a file that is looked at again and again counts once', () => {
  const foresight = new LookForesight();
  for (let index = 0; index < 10; index++) {
    foresight.looked(fromText('f'));
    foresight.opened(fromText('f'));
  }
  for (let index = 0; index < 1000; index++) foresight.looked(fromText('g'));
  assert.ok(foresight.wantBytes > 0);
});
