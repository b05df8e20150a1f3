/** Runs soaks (test/trust/soak.ts) by name, one after the other. Exits with 1 when one of them fails. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Soak } from '../test/trust/soak.ts';

const FOLDER = join(import.meta.dirname, '../test/trust');
const SUFFIX = '.soak.js';

const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith(SUFFIX))
  .map((file) => file.slice(0, -SUFFIX.length))
  .sort();

async function load(name: string): Promise<Soak> {
  const { soak } = (await import(join(FOLDER, `${name}${SUFFIX}`))) as { readonly soak: Soak };
  return soak;
}

const wanted = process.argv.slice(2);
if (wanted.length === 0) {
  for (const name of names) console.log(`${name.padEnd(16)} ${(await load(name)).about}`);
}
for (const name of wanted) {
  if (!names.includes(name)) {
    console.error(`soak: there is no ${name}; there are ${names.join(', ')}`);
    process.exit(2);
  }
}
let failed = 0;
for (const name of wanted) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(0)} s`;
  try {
    const { run } = await load(name);
    for (const line of await run((said) => console.error(`${name} ${seconds()}: ${said}`)))
      console.log(`${name}: ${line}`);
    console.log(`${name}: kept, ${seconds()}`);
  } catch (error) {
    failed += 1;
    console.log(
      `${name}: BROKEN after ${seconds()}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
}
process.exit(failed === 0 ? 0 : 1);
