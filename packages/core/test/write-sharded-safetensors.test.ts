/** A model over several files: read back by this project, and by the reference implementation where a Python with it is. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ndArray, type NamedArrays } from '../src/index.ts';
import { openSafetensors, writeShardedSafetensors } from '../src/node/index.ts';

const python = process.env['CODA_PYTHON'] ?? 'python3';
const hasReference = spawnSync(python, ['-c', 'import safetensors.numpy']).status === 0;

const floats = (...values: number[]) => ndArray('float32', [values.length], Float32Array.from(values));
/** 16, 8, 12 and 4 bytes. */
const tensors: NamedArrays = {
  'layer.b': floats(1, 2, 3, 4),
  'layer.a': ndArray('int64', [], BigInt64Array.of(-7n)),
  c: floats(0.1, -0.5, 65_504),
  d: ndArray('bool', [2, 2], Uint8Array.of(1, 0, 0, 1)),
};

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'coda-shards-'))));
afterEach(() => rmSync(folder, { recursive: true }));
const index = (): string => join(folder, 'net.safetensors.index.json');

describe('writeShardedSafetensors', () => {
  it('fills each file up to the size, and comes back as it was', async () => {
    const names = await writeShardedSafetensors(index(), tensors, { shardBytes: 24, metadata: { format: 'pt' } });
    expect(names).toEqual(['net-00001-of-00002.safetensors', 'net-00002-of-00002.safetensors']);
    expect(JSON.parse(readFileSync(index(), 'utf8'))).toEqual({
      metadata: { total_size: 40 },
      weight_map: { 'layer.b': names[0], 'layer.a': names[0], c: names[1], d: names[1] },
    });
    const file = await openSafetensors(index());
    expect(file.metadata).toEqual({ format: 'pt' });
    expect(await file.readAll()).toEqual(tensors);
    const visited: Record<string, unknown> = {};
    await file.visit((name, { data }) => (visited[name] = [...data]));
    expect(visited).toEqual(Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, [...data]])));
    await file.close();
  });

  it('gives a tensor that is larger a file of its own, and an empty model one file', async () => {
    expect(await writeShardedSafetensors(index(), tensors, { shardBytes: 1 })).toHaveLength(4);
    expect(await writeShardedSafetensors(join(folder, 'none.safetensors.index.json'), {})).toEqual(['none-00001-of-00001.safetensors']);
  });

  it('counts what 16-bit tensors take in the file', async () => {
    const names = await writeShardedSafetensors(index(), tensors, { shardBytes: 22, halves: { c: 'F16', 'layer.b': 'BF16' } });
    expect(names).toHaveLength(2);
    const file = await openSafetensors(index());
    expect(file.tensors['c']).toEqual({ dtype: 'F16', shape: [3], bytes: 6 });
    await file.close();
  });

  it('is what the reference implementation reads', async ({ skip }) => {
    if (!hasReference) skip(`no safetensors in ${python}: name a Python that has it with CODA_PYTHON`);
    await writeShardedSafetensors(index(), tensors, { shardBytes: 24 });
    const script = [
      'import json, os, sys, safetensors.numpy',
      'index = json.load(open(sys.argv[1]))["weight_map"]',
      'at = lambda name: safetensors.numpy.load_file(os.path.join(os.path.dirname(sys.argv[1]), index[name]))[name]',
      'print(json.dumps({name: [str(at(name).dtype), list(at(name).shape), at(name).astype("float64").ravel().tolist()] for name in index}))',
    ].join('\n');
    const { stdout, stderr } = spawnSync(python, ['-c', script, index()], { encoding: 'utf8' });
    expect(stderr).toBe('');
    const expected = Object.entries(tensors).map(([name, { dtype, shape, data }]) => [name, [dtype, shape, [...data].map(Number)]]);
    expect(JSON.parse(stdout)).toEqual(Object.fromEntries(expected));
  });

  it.each([
    [{ shardBytes: 0 }, /net\.safetensors\.index\.json: shardBytes: no size; expected at least 1, got 0/],
    [{ shardBytes: Number.NaN }, /shardBytes: no size/],
    [{ halves: { e: 'F16' as const } }, /tensor "e": to be stored as F16, and not there/],
    [{ shardBytes: 1, halves: { huge: 'F16' as const } }, /element 0 is finite, and would be infinite in F16/],
  ])('refuses %j and writes nothing', async (options, message) => {
    await expect(writeShardedSafetensors(index(), { ...tensors, huge: floats(1e6) }, options)).rejects.toThrow(message);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses too many files, and a path that no reader would find them by', async () => {
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`t${i}`, floats(i)]));
    await expect(writeShardedSafetensors(index(), many, { shardBytes: 4 })).rejects.toThrow(
      'shardBytes: too many files; expected at most 500, got 501',
    );
    for (const name of ['net.json', '.safetensors.index.json', 'a:b.safetensors.index.json', '.net.safetensors.index.json']) {
      await expect(writeShardedSafetensors(join(folder, name), tensors)).rejects.toThrow(
        'no name of an index; expected a path that ends in <name>.safetensors.index.json',
      );
    }
    expect(readdirSync(folder)).toEqual([]);
  });
});
