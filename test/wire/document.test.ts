import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { ERROR_CODES } from '../../src/errors.ts';
import { protocolDocument } from '../../src/wire/document.ts';
import { MESSAGES } from '../../src/wire/schema.ts';

function projectRoot(): string {
  let at = import.meta.dirname;
  while (!existsSync(join(at, 'package.json'))) at = dirname(at);
  return at;
}

describe('docs/protocol.md', () => {
  it('is what the source says (else: node scripts/protocol-document)', () => {
    const file = readFileSync(join(projectRoot(), 'docs', 'protocol.md'), 'utf8');
    assert.ok(file === protocolDocument(), 'out of date');
  });

  it('names every message with its tag, every field and every error', () => {
    const text = protocolDocument();
    for (const [name, { tag, request, reply }] of Object.entries(MESSAGES)) {
      assert.ok(text.includes(`### ${name} (${tag})`));
      for (const field of [...Object.keys(request), ...Object.keys(reply)]) assert.ok(text.includes(`| ${field} |`));
    }
    for (const [code, { wire }] of Object.entries(ERROR_CODES)) assert.ok(text.includes(`| ${wire} | ${code} |`));
  });
});
