/** The public exports that were last reviewed, `api/<package>.txt`, against those that are there now. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { publicExports } from './public-exports.mjs';

/**
 * A paragraph for each export that was added, removed or changed; with `accept`, `api/` says afterwards what is there now.
 * @returns {string[]}
 */
export function changedExports(/** @type {string} */ root, { accept = false } = {}) {
  const folder = join(root, 'api');
  const reviewed = readReviewed(folder);
  const now = publicExports(root);
  const names = [...new Set([...reviewed.keys(), ...now.keys()])].sort();
  if (accept) {
    mkdirSync(folder, { recursive: true });
    for (const [name, text] of now) writeFileSync(join(folder, `${name}.txt`), text);
    for (const name of reviewed.keys()) if (!now.has(name)) rmSync(join(folder, `${name}.txt`));
  }
  return names.flatMap((name) => differences(`api/${name}.txt`, reviewed.get(name) ?? '', now.get(name) ?? ''));
}

/** The lists by the name of the package's folder. */
function readReviewed(/** @type {string} */ folder) {
  /** @type {Map<string, string>} */
  const texts = new Map();
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    if (file.endsWith('.txt')) texts.set(file.slice(0, -'.txt'.length), readFileSync(join(folder, file), 'utf8'));
  }
  return texts;
}

/** @returns {string[]} */
function differences(/** @type {string} */ file, /** @type {string} */ before, /** @type {string} */ after) {
  const old = blocksOf(before);
  const current = blocksOf(after);
  const differing = [];
  for (const key of new Set([...old.keys(), ...current.keys()])) {
    const [was = '', is = ''] = [old.get(key), current.get(key)];
    if (was === is) continue;
    const verb = was === '' ? 'added' : is === '' ? 'removed' : 'changed';
    differing.push([`${file}: ${verb} ${key}`, ...changedLines(was, is)].join('\n'));
  }
  return differing;
}

/** Blocks by the name they declare and the section they stand in: `train of @coda-nets/train`. */
function blocksOf(/** @type {string} */ text) {
  /** @type {Map<string, string>} */
  const blocks = new Map();
  let section = '';
  for (const block of text.trim().split('\n\n').slice(1)) {
    const heading = /^== (.*)$/.exec(block)?.[1];
    if (heading !== undefined) {
      section = heading;
      continue;
    }
    const name = /^(?:(?:abstract|class|const|enum|function|interface|let|namespace|type) )*([\w$]+)/.exec(block)?.[1];
    blocks.set(`${name ?? block} of ${section}`, block);
  }
  return blocks;
}

/** The lines that only one of them has; all lines where they differ in order alone. */
function changedLines(/** @type {string} */ was, /** @type {string} */ is) {
  const [before, after] = [was, is].map((block) => (block === '' ? [] : block.split('\n')));
  const only = (/** @type {string[]} */ lines, /** @type {string[]} */ others) => lines.filter((line) => !others.includes(line));
  const gone = only(before ?? [], after ?? []);
  const come = only(after ?? [], before ?? []);
  const inOrder = gone.length + come.length === 0;
  return [
    ...(inOrder ? (before ?? []) : gone).map((line) => `  - ${line}`),
    ...(inOrder ? (after ?? []) : come).map((line) => `  + ${line}`),
  ];
}
