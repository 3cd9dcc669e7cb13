import { rmSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { undrawnArrows } from '../undrawn-arrows.mjs';
import { repository, writeFiles } from './repository.ts';

const root = repository({
  'ARCHITECTURE.md': '```arrows\nlow-2 -> base\nhigh -> low-2\n```\n',
  'packages/base/package.json': '{}',
  'packages/low-2/package.json': '{}',
  'apps/high/package.json': '{}',
  'packages/base/src/index.ts': "export * from './node/index.ts';\n",
  'packages/base/src/node/index.ts': "import '../index.ts';\n",
  'packages/low-2/src/index.ts': "import { a } from '@coda-nets/base/node';\nimport type { B } from '@coda-nets/low-2';\n",
  'apps/high/src/index.ts': "// import '@coda-nets/base';\nexport const say = `as @coda-nets/base does`;\nimport '@coda-nets/low-2';\n",
});
afterAll(() => rmSync(root, { recursive: true }));

it('is content with imports along the arrows, inside a package, and in comments', () => {
  expect(undrawnArrows(root)).toEqual([]);
});

it.each([
  ['a value', "import { x } from '@coda-nets/base';", 1],
  ['a subpath', "import { x } from '@coda-nets/base/node';", 1],
  ['double quotes', 'import { x } from "@coda-nets/base";', 1],
  ['several lines', "import {\n  x,\n} from '@coda-nets/base';", 3],
  ['a side effect', "import '@coda-nets/base';", 1],
  ['a type', "import type { X } from '@coda-nets/base';", 1],
  ['a type in passing', "type X = import('@coda-nets/base').X;", 1],
  ['a re-export', "export * from '@coda-nets/base';", 1],
  ['a dynamic import', "const x = await import(\n  '@coda-nets/base'\n);", 2],
  ['a dynamic import after a quote', "const quote = /'/;\nconst x = await import(`@coda-nets/base`);", 2],
  ['require', "const x = require('@coda-nets/base');", 1],
  ['import.meta.resolve', "const x = import.meta.resolve('@coda-nets/base');", 1],
  ['a path', "import { x } from '../../../../packages/base/src/index.ts';", 1],
])('finds %s, with file and line', (_, source, line) => {
  writeFiles(root, { 'apps/high/src/commands/new.ts': source });
  expect(undrawnArrows(root)).toEqual([
    expect.stringMatching(`^apps/high/src/commands/new\\.ts:${line}: high -> base \\('.*base.*'\\) is not drawn in ARCHITECTURE\\.md$`),
  ]);
});

it('does not follow an arrow the other way round', () => {
  writeFiles(root, { 'apps/high/src/commands/new.ts': '', 'packages/base/src/new.ts': "import '@coda-nets/low-2';" });
  expect(undrawnArrows(root)).toEqual(["packages/base/src/new.ts:1: base -> low-2 ('@coda-nets/low-2') is not drawn in ARCHITECTURE.md"]);
});

it('refuses a line that is no arrow', () => {
  writeFiles(root, { 'ARCHITECTURE.md': '```arrows\nhigh => base\n```\n' });
  expect(() => undrawnArrows(root)).toThrow('ARCHITECTURE.md: expected "from -> to to …", got "high => base"');
});
