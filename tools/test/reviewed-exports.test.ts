import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { changedExports } from '../reviewed-exports.mjs';
import { repository, writeFiles } from './repository.ts';

const root = repository({
  'tsconfig.base.json': JSON.stringify({
    compilerOptions: {
      target: 'ES2023',
      module: 'NodeNext',
      declaration: true,
      rewriteRelativeImportExtensions: true,
      strict: true,
    },
  }),
  'packages/thing/package.json': JSON.stringify({
    name: '@coda-nets/thing',
    type: 'module',
    exports: {
      '.': { '@coda-nets/source': './src/index.ts', default: './dist/index.js' },
      './node': { '@coda-nets/source': './src/node/index.ts', default: './dist/node/index.js' },
      './package.json': './package.json',
    },
  }),
  'packages/hidden/package.json': '{ "private": true }',
  'packages/thing/src/index.ts':
    "export { scale, type Options } from './scale.ts';\nexport { Gauge } from './gauge.ts';\nexport { secret as open } from './gauge.ts';\n",
  'packages/thing/src/scale.ts': `import type { Inner } from './gauge.ts';
/** A comment. */
export interface Options {
  /** Another. */
  readonly by?: 'b' | 'a';
}
export function scale(x: string, { by }: Options): Inner;
export function scale(x: number, { by }: Options): Inner;
export function scale(x: number | string, { by = "a" }: Options): Inner {
  return { deep: [Number(x), by.length] };
}
`,
  'packages/thing/src/gauge.ts': `export interface Inner {
  readonly deep: Deep;
}
type Deep = readonly [number, number];
export class Gauge {
  readonly #own = 1;
  private also = 2;
  constructor(readonly unit: string) {}
  read(): number { return this.#own + this.also; }
}
export const secret = { a: 1, b: (x: number) => [x] };
`,
  'packages/thing/src/node/index.ts': "import { measure } from '../measure.ts';\nexport const limit = measure();\n",
  'packages/thing/src/measure.ts':
    'export interface Measure {\n  readonly of: number;\n}\nexport const measure = (): Measure => ({ of: 3 });\n',
});
const list = join(root, 'api/thing.txt');
afterAll(() => rmSync(root, { recursive: true }));

const REVIEWED = `# Public exports of @coda-nets/thing. Written by \`pnpm check:exports --accept\`, to be read in review.

== @coda-nets/thing

class Gauge {
    readonly unit: string;
    constructor(unit: string);
    read(): number;
}

interface Options {
    readonly by?: 'a' | 'b';
}

open: const secret: {
    a: number;
    b: (x: number) => number[];
};

function scale(x: string, options: Options): Inner;
function scale(x: number, options: Options): Inner;

== @coda-nets/thing/node

const limit: import('../measure.ts').Measure;

== not exported, but part of the above

type Deep = readonly [number, number];

interface Inner {
    readonly deep: Deep;
}

interface Measure {
    readonly of: number;
}
`;

it('writes the list only when asked', () => {
  const changes = changedExports(root);
  expect(changes).toHaveLength(8);
  expect(changes).toContain("api/thing.txt: added limit of @coda-nets/thing/node\n  + const limit: import('../measure.ts').Measure;");
  expect(existsSync(list)).toBe(false);

  expect(changedExports(root, { accept: true })).toEqual(changes);
  expect(readFileSync(list, 'utf8')).toBe(REVIEWED);
});

it('does not mind what no caller can see', () => {
  writeFiles(root, {
    'packages/thing/src/index.ts':
      "export { Gauge, secret as open } from './gauge.ts';\nexport { type Options, scale } from './scale.ts';\nconst inside = 1;\nvoid inside;\n",
    'packages/thing/src/scale.ts': `import type { Inner } from './gauge.ts';
export function scale(x: string, options: Options): Inner;
export function scale(x: number, options: Options): Inner;
export function scale(x: number | string, options: Options): Inner {
  return { deep: [Number(x), Object.keys(options).length] };
}
export interface Options { readonly by?: "a" | "b" }
`,
  });
  expect(changedExports(root)).toEqual([]);
});

it('reports each export that was added, removed or changed, at every entry point and below', () => {
  writeFiles(root, {
    'packages/thing/src/index.ts':
      "export { scale } from './scale.ts';\nexport { Gauge } from './gauge.ts';\nexport { secret as open } from './gauge.ts';\nexport const more = (x: boolean) => !x;\n",
    'packages/thing/src/gauge.ts': `export interface Inner { readonly deep: Deep }
type Deep = readonly [number, number, number?];
export class Gauge {
  constructor(readonly unit: string) {}
  read(): bigint { return 1n; }
}
export const secret = { a: 1, b: (x: number) => [x] };
`,
    'packages/thing/src/node/index.ts': 'export const limit = 4;\n',
  });
  expect(changedExports(root)).toEqual([
    'api/thing.txt: changed Gauge of @coda-nets/thing\n  -     read(): number;\n  +     read(): bigint;',
    "api/thing.txt: removed Options of @coda-nets/thing\n  - interface Options {\n  -     readonly by?: 'a' | 'b';\n  - }",
    "api/thing.txt: changed limit of @coda-nets/thing/node\n  - const limit: import('../measure.ts').Measure;\n  + const limit = 4;",
    'api/thing.txt: changed Deep of not exported, but part of the above\n' +
      '  - type Deep = readonly [number, number];\n  + type Deep = readonly [number, number, number?];',
    'api/thing.txt: removed Measure of not exported, but part of the above\n  - interface Measure {\n  -     readonly of: number;\n  - }',
    'api/thing.txt: added more of @coda-nets/thing\n  + const more: (x: boolean) => boolean;',
    "api/thing.txt: added Options of not exported, but part of the above\n  + interface Options {\n  +     readonly by?: 'a' | 'b';\n  + }",
  ]);
  expect(readFileSync(list, 'utf8')).toBe(REVIEWED);
});

it('reports a package that is gone, and forgets it when asked', () => {
  rmSync(join(root, 'packages/thing'), { recursive: true });
  expect(changedExports(root, { accept: true })).toContain(
    "api/thing.txt: removed limit of @coda-nets/thing/node\n  - const limit: import('../measure.ts').Measure;",
  );
  expect(existsSync(list)).toBe(false);
});
