/**
 * Imports between packages that ARCHITECTURE.md does not draw. Reads the syntax tree, not the text: types, dynamic imports, `require`,
 * `import.meta.resolve` and paths that leave the package count, comments do not. Tests may import what they like.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, posix } from 'node:path';
import ts from 'typescript';
import { workspaces } from './workspaces.mjs';

/**
 * A line for each, with file and line number.
 * @returns {string[]}
 */
export function undrawnArrows(/** @type {string} */ root) {
  const drawn = readArrows(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'));
  const folders = workspaces(root).map(({ folder }) => folder);
  const problems = [];
  for (const folder of folders) {
    const name = basename(folder);
    for (const path of sources(root, folder)) {
      const file = ts.createSourceFile(path, readFileSync(join(root, path), 'utf8'), ts.ScriptTarget.Latest);
      for (const { text, position } of strings(file)) {
        const target = packageNamed(text) ?? packageAt(path, text, folders);
        if (target === undefined || target === name || drawn.get(name)?.has(target)) continue;
        const line = file.getLineAndCharacterOfPosition(position).line + 1;
        problems.push(`${path}:${line}: ${name} -> ${target} ('${text}') is not drawn in ARCHITECTURE.md`);
      }
    }
  }
  return problems;
}

/** Lines `from -> to to …` of the block, as sets. */
function readArrows(/** @type {string} */ architecture) {
  const block = /```arrows\n([\s\S]*?)```/.exec(architecture)?.[1];
  if (block === undefined) throw new Error('check-arrows: ARCHITECTURE.md has no ```arrows block');
  /** @type {Map<string, Set<string>>} */
  const arrows = new Map();
  for (const line of block.trim().split('\n')) {
    const match = /^(\S+) -> (\S+(?: \S+)*)$/.exec(line);
    if (match === null) throw new Error(`check-arrows: ARCHITECTURE.md: expected "from -> to to …", got "${line}"`);
    arrows.set(match[1] ?? '', new Set(match[2]?.split(' ')));
  }
  return arrows;
}

/** What is shipped: `src` of packages and apps. */
function sources(/** @type {string} */ root, /** @type {string} */ folder) {
  if (folder === 'tools') return [];
  return readdirSync(join(root, folder, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.[cm]?[jt]sx?$/.test(file))
    .map((file) => posix.join(folder, 'src', file.replaceAll('\\', '/')))
    .sort();
}

/**
 * Every string literal of a file. A string that is exactly a package's name is an import of some kind; which kind does not matter here.
 * @returns {{ text: string, position: number }[]}
 */
function strings(/** @type {ts.SourceFile} */ file) {
  /** @type {{ text: string, position: number }[]} */
  const found = [];
  const visit = (/** @type {ts.Node} */ node) => {
    if (ts.isStringLiteralLike(node)) found.push({ text: node.text, position: node.getStart(file) });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** `@coda-nets/core/node` is core. */
function packageNamed(/** @type {string} */ specifier) {
  return /^@coda-nets\/([^/\s]+)(?:\/\S*)?$/.exec(specifier)?.[1];
}

/** The package in whose folder the relative path `to` ends, seen from the file `from`. */
function packageAt(/** @type {string} */ from, /** @type {string} */ to, /** @type {string[]} */ folders) {
  if (!to.startsWith('../')) return undefined;
  const path = posix.join(posix.dirname(from), to);
  const folder = folders.find((folder) => path.startsWith(`${folder}/`));
  return folder === undefined ? undefined : basename(folder);
}
