/** What is on the disk when a process ends between two renames, and what the next setup or removal makes of it. */
import { removeTensorFlow } from '@coda-nets/tensorflow-setup';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sweepLeftovers } from '../src/swap-in.ts';
import { setupNote } from './setup-note.ts';

const host = hostname().replaceAll(/[^\w.-]/g, '_');
/** Beyond the largest that Linux gives. */
const DEAD = 999_999_999;

let folder = '';
const target = (): string => join(folder, 'tensorflow');
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-killed-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function put(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

/** Every file with its content. */
async function files(): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path.slice(folder.length + 1), await readFile(path, 'utf8')])));
}

const left = (name: string, number: number): string => `.${name}.coda-setup-${DEAD}-${number}-${host}`;

it('brings the old one back where the new one did not come', async () => {
  await put({ [`${left('tensorflow', 1)}/package.json`]: 'new', [`${left('tensorflow', 2)}/old/tensorflow/package.json`]: 'old' });
  expect((await sweepLeftovers(target())).length).toBe(2);
  expect(await files()).toEqual({ 'tensorflow/package.json': 'old' });
});

it('keeps the new one where it came', async () => {
  await put({ 'tensorflow/package.json': 'new', [`${left('tensorflow', 2)}/old/tensorflow/package.json`]: 'old' });
  await sweepLeftovers(target());
  expect(await files()).toEqual({ 'tensorflow/package.json': 'new' });
});

it('brings both parts of a package back where one of the new ones did not come', async () => {
  const staging = `tensorflow/${left('setup', 1)}`;
  await put({
    [`${staging}/old/lib/a`]: 'old',
    [`${staging}/old/deps/a`]: 'old',
    'tensorflow/deps/a': 'new',
    [`${staging}/package/lib/a`]: 'new',
  });
  await sweepLeftovers(join(target(), 'setup'));
  expect(await files()).toEqual({ 'tensorflow/lib/a': 'old', 'tensorflow/deps/a': 'old' });
});

it.each<[string, Record<string, string>]>([
  ['a first setup in place', { 'tensorflow/deps/a': 'old', 'tensorflow/.before-coda-setup/lib/a': 'old' }],
  ['a removal in place', { 'tensorflow/.before-coda-setup/lib/a': 'old', 'tensorflow/.before-coda-setup/deps/a': 'old' }],
])('--remove finishes %s', async (_, before) => {
  await put(before);
  expect(await removeTensorFlow(target())).toEqual({ removed: undefined, cleared: [join(target(), '.before-coda-setup')] });
  expect(await files()).toEqual({ 'tensorflow/lib/a': 'old', 'tensorflow/deps/a': 'old' });
});

it('--remove leaves one alone that is not to go, and clears the rest', async () => {
  const kept = {
    'tensorflow/package.json': '{ "name": "@tensorflow/tfjs-node" }',
    'tensorflow/deps/coda-nets.json': JSON.stringify(setupNote),
    'tensorflow/lib/a': 'new',
  };
  await put({ ...kept, [`${left('tensorflow', 1)}/a`]: '' });
  const { removed, cleared } = await removeTensorFlow(target(), async () => false);
  expect([removed, cleared]).toEqual([undefined, [join(folder, left('tensorflow', 1))]]);
  expect(await files()).toEqual(kept);
});
