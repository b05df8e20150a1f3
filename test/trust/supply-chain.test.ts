/** What comes from others: few packages, each by a hash, with a reason, and without scripts of its own but those allowed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');
/** Packages that run in a node, with all that they need themselves. More has to be wanted. */
const MOST_PACKAGES = 125;

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string) => readFileSync(join(ROOT, name), 'utf8');
const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Readonly<Record<string, Package>> };
const manifest = JSON.parse(read('package.json')) as Package & {
  readonly allowScripts: Readonly<Record<string, boolean>>;
};
const packages = Object.entries(lock.packages)
  .filter(([path]) => path !== '')
  .map(([path, known]) => ({ name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length), ...known }));

test('every package is pinned by a hash and comes from a registry', () => {
  assert.ok(packages.length > 0);
  for (const { name, integrity, resolved, link } of packages) {
    assert.match(integrity ?? '', /^sha512-/, `${name} has no hash`);
    assert.ok(link !== true, `${name} is a link`);
    assert.ok(
      resolved === undefined || resolved.startsWith('https://registry.npmjs.org/'),
      `${name} is from ${resolved}`,
    );
  }
});

test('direct dependencies are named by exact versions, the ones of the lockfile', () => {
  const direct = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
  for (const [name, version] of Object.entries(direct)) {
    assert.match(version, /^\d+\.\d+\.\d+$/, `${name} ${version}`);
    assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
  }
});

test('only packages on the allow-list run scripts when they are installed, and none is on it without need', () => {
  const withScripts = packages.filter(({ hasInstallScript }) => hasInstallScript === true).map(({ name }) => name);
  const allowed = Object.entries(manifest.allowScripts).filter(([, isAllowed]) => isAllowed);
  assert.deepEqual([...new Set(withScripts)].sort(), allowed.map(([name]) => name).sort());
});

test('the packages of a node are few, and each that it names has its reason written down', () => {
  const own = packages.filter(({ dev }) => dev !== true);
  assert.ok(own.length <= MOST_PACKAGES, `${own.length} packages: ${own.map(({ name }) => name).join(' ')}`);
  const table = read('docs/architecture.md').split('## Dependencies')[1] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('|'));
  const named = [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.optionalDependencies ?? {})];
  for (const name of named) {
    const row = rows.find((line) => line.split('|')[1]?.includes(name) === true);
    assert.ok((row?.split('|')[2]?.trim().length ?? 0) > 10, `docs/architecture.md gives no reason for ${name}`);
  }
});

test('docs/security.md has the threat model and how to report', () => {
  const text = read('docs/security.md');
  for (const heading of ['## What is protected, from whom', '## Endured, not defended', '## Reporting'])
    assert.ok(text.includes(heading), heading);
});
