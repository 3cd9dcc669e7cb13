/** `coda setup tensorflow` as far as it goes without compiling. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { coda } from './run-coda.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-setup-command-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('takes --version as TensorFlow’s, while the program keeps its own', async () => {
  const { code, out, err } = await coda('setup', 'tensorflow', '--version', 'latest', '--to', join(folder, 'tensorflow'));
  expect([code, out]).toEqual([2, '']);
  expect(err).toBe('error: setup tensorflow: --version: not a version; expected one like 2.21.0, got latest\n');
  expect(await coda('--version')).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\S*\n$/) });
});

it('removes no app whose package it was set up in', async () => {
  const app = join(folder, 'app');
  const built = join(app, 'node_modules', '@tensorflow', 'tfjs-node');
  await mkdir(join(built, 'deps'), { recursive: true });
  await writeFile(join(app, 'src.js'), 'mine');
  await writeFile(join(built, 'package.json'), '{ "name": "@tensorflow/tfjs-node", "version": "4.22.0" }');
  const note = {
    format: 1,
    package: '@tensorflow/tfjs-node',
    packageVersion: '4.22.0',
    tensorflow: '2.21.0',
    gpu: false,
    source: 'x',
    libraries: [],
  };
  await writeFile(join(built, 'deps', 'coda-nets.json'), JSON.stringify(note));
  const { code, err } = await coda('setup', 'tensorflow', '--remove', '--yes', '--to', app);
  expect(code).toBe(2);
  expect(err).toContain(`Name the package itself: --to ${built}.`);
  expect((await readdir(app)).sort()).toEqual(['node_modules', 'src.js']);
});

it('clears away what a killed setup left, says so, and only then finds nothing to remove', async () => {
  const target = join(folder, 'tensorflow');
  const left = join(folder, `.tensorflow.coda-setup-999999999-abcd-${hostname().replaceAll(/[^\w.-]/g, '_')}`);
  await mkdir(join(left, 'downloads'), { recursive: true });
  const remove = () => coda('setup', 'tensorflow', '--remove', '--yes', '--to', target);
  const { code, out } = await remove();
  expect([code, out]).toEqual([0, `Cleared away what a setup that was killed had left: ${left}\n`]);
  expect(await readdir(folder)).toEqual([]);
  expect(await remove()).toMatchObject({ code: 2, err: expect.stringContaining('no TensorFlow was set up there') });
});
