// The lint half of the gate: typed rules, and the import law of docs/architecture.md.
import tseslint from 'typescript-eslint';

/** Layer -> the layers it may import from (itself and the base files are always allowed). */
const MAY_IMPORT = {
  wire: [],
  crypto: [],
  sys: [],
  net: ['crypto', 'wire', 'sys'],
  fs: ['wire', 'sys'],
  daemon: ['crypto', 'wire', 'sys', 'net', 'fs'],
  cli: ['daemon'],
};
const LAYERS = Object.keys(MAY_IMPORT);
const ONLY_IN = {
  koffi: 'src/sys/libc.ts',
  'better-sqlite3': 'src/daemon/store.ts',
  'libsodium-wrappers-sumo': 'src/crypto/sodium.ts',
};

const banned = (layer) =>
  LAYERS.filter((other) => other !== layer && !MAY_IMPORT[layer].includes(other)).map((other) => ({
    regex: `^(\\.\\./)+${other}/`,
    message: `src/${layer} does not import src/${other} (docs/architecture.md).`,
  }));
const libraries = (except) =>
  Object.entries(ONLY_IN)
    .filter(([, file]) => file !== except)
    .map(([name, file]) => ({ name, message: `Only ${file} imports ${name}.` }));

const layerRules = LAYERS.map((layer) => ({
  files: [`src/${layer}/**/*.ts`],
  rules: { 'no-restricted-imports': ['error', { paths: libraries(''), patterns: banned(layer) }] },
}));
const exceptions = Object.entries(ONLY_IN).map(([, file]) => ({
  files: [file],
  rules: {
    'no-restricted-imports': ['error', { paths: libraries(file), patterns: banned(file.split('/')[1]) }],
  },
}));
const fsFromNet = {
  files: ['src/fs/**/*.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        paths: libraries(''),
        patterns: [
          ...banned('fs').filter((ban) => !ban.regex.endsWith('net/')),
          { regex: '^(\\.\\./)+net/(?!channel\\.ts$)', message: 'src/fs knows of src/net only the type Channel.' },
        ],
      },
    ],
  },
};

export default tseslint.config(
  { ignores: ['dist', '.build', 'node_modules', 'bin', '**/*.js', '**/*.mjs'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // Closures and records of functions are the house's objects: their members are bound by nature.
      '@typescript-eslint/unbound-method': 'off',
      // `return send(error);` reads better than a block of two lines.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    },
  },
  { files: ['test/**/*.ts', 'scripts/**/*.ts'], rules: { '@typescript-eslint/no-floating-promises': 'off' } },
  ...layerRules,
  ...exceptions,
  fsFromNet,
);
