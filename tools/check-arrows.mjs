/** Fails on an import between workspace packages that ARCHITECTURE.md does not draw; names file and line. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2] ?? '.';
const block = /```arrows\n([\s\S]*?)```/.exec(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'));
if (block === null) throw new Error('ARCHITECTURE.md has no ```arrows block');
const drawn = new Map(
  (block[1] ?? '').trim().split('\n').map((line) => {
    const [from = '', to = ''] = line.split('->').map((part) => part.trim());
    return [from, new Set(to.split(/\s+/))];
  }),
);
const problems = [];
for (const group of ['packages', 'apps', 'examples']) {
  for (const name of readdirSync(join(root, group))) {
    /** @type {(string | Buffer)[]} */
    let files = [];
    try {
      files = readdirSync(join(root, group, name, 'src'), { recursive: true }).filter((file) => String(file).endsWith('.ts'));
    } catch {
      continue;
    }
    for (const file of files) {
      const path = join(group, name, 'src', String(file));
      const lines = readFileSync(join(root, path), 'utf8').split('\n');
      for (const [i, line] of lines.entries()) {
        const target = /(?:from|import)\s*\(?\s*'@coda-nets\/([a-z]+)/.exec(line)?.[1];
        if (target === undefined || target === name || drawn.get(name)?.has(target)) continue;
        problems.push(`${path}:${i + 1}: ${name} -> ${target} is not drawn in ARCHITECTURE.md`);
      }
    }
  }
}
for (const problem of problems) process.stderr.write(`${problem}\n`);
process.stdout.write(`arrows: ${problems.length === 0 ? 'all drawn' : `${problems.length} not drawn`}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
