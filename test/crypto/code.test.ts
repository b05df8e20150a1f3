import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE_WORDS, completeWord, generateCode, parseCode } from '../../src/crypto/code.ts';
import { WORDS } from '../../src/crypto/wordlist.ts';
import { PeerfsError } from '../../src/errors.ts';

const refusal = (text: string): string => {
  try {
    parseCode(text);
  } catch (error) {
    assert.ok(error instanceof PeerfsError);
    assert.equal(error.code, 'INVITE_UNKNOWN_WORD');
    return error.message;
  }
  assert.fail(`was taken: ${text}`);
};

test('the list has 7,776 words in order, none the beginning of another, and the code at least 75 bits', () => {
  assert.equal(WORDS.length, 7776);
  assert.ok(WORDS.every((word) => /^[a-z]{3,9}$/.test(word)));
  WORDS.slice(1).forEach((word, i) => {
    const before = WORDS[i] ?? '';
    assert.ok(before < word && !word.startsWith(before), word);
  });
  assert.ok(CODE_WORDS * Math.log2(WORDS.length) >= 75);
});

test('codes are six random words and read back as they are', () => {
  const codes = Array.from({ length: 20 }, () => generateCode());
  assert.equal(new Set(codes).size, 20);
  for (const code of codes) {
    assert.equal(code.split('-').length, CODE_WORDS);
    assert.equal(parseCode(code), code);
  }
});

test('each word of the list can come up', () => {
  assert.equal(
    generateCode(() => 0),
    'abacus-abacus-abacus-abacus-abacus-abacus',
  );
  assert.equal(
    generateCode((below) => below - 1),
    'zoom-zoom-zoom-zoom-zoom-zoom',
  );
});

test('case, spaces, line breaks and dashes of all kinds do not matter', () => {
  const code = 'abacus-abdomen-zoom-yoyo-tshirt-yarrow';
  for (const text of [
    'abacus abdomen zoom yoyo tshirt yarrow',
    '  Abacus ABDOMEN\nzoom\tyoyo   tshirt yarrow\r\n',
    'abacus – abdomen — zoom_yoyo, tshirt. yarrow',
    '"abacus-abdomen-zoom-yoyo-tshirt-yarrow"',
  ]) {
    assert.equal(parseCode(text), code);
  }
});

test('a beginning that one word has stands for it', () => {
  assert.equal(parseCode('abac abdomen zoom yoy Tsh yarr'), 'abacus-abdomen-zoom-yoyo-tshirt-yarrow');
  assert.equal(parseCode('abac abac abac abac abac abac'), 'abacus-abacus-abacus-abacus-abacus-abacus');
});

test('a beginning of several words is refused by position, with examples', () => {
  assert.equal(
    refusal('abacus abdom abacus abacus abacus abacus'),
    'word 2 of the code could be several words (abdomen, abdominal?)',
  );
  assert.match(refusal('a abacus abacus abacus abacus abacus'), /^word 1 .*\(abacus, abdomen, abdominal, \.\.\.\?\)$/);
});

test('a wrong word is named by position with words near it, for each kind of slip', () => {
  for (const slip of ['abaacus', 'abcus', 'abadus', 'abcaus']) {
    const message = refusal(`zoom zoom zoom zoom ${slip} zoom`);
    assert.match(message, /^word 5 of the code is not in the word list \(abacus/, slip);
    assert.ok(!message.includes(slip));
  }
  assert.equal(refusal('qqqqqqqqqqqq zoom zoom zoom zoom zoom'), 'word 1 of the code is not in the word list');
});

test('too few and too many words are told', () => {
  assert.match(refusal(''), /6 words, and none was given/);
  assert.match(refusal('zoom zoom zoom zoom zoom'), /6 words, and 5 were given/);
  assert.match(refusal('zoom zoom zoom zoom zoom zoom zoom'), /6 words, and 7 were given/);
});

test('words are completed in order, as many as asked for', () => {
  assert.deepEqual(completeWord('abd', 10), ['abdomen', 'abdominal']);
  assert.deepEqual(completeWord('abd', 1), ['abdomen']);
  assert.deepEqual(completeWord('zoom', 10), ['zoom']);
  assert.deepEqual(completeWord('zzz', 10), []);
  assert.equal(completeWord('', 5).length, 5);
});
