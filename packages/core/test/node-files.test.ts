import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CodaError, ndArray, type Model } from '../src/index.ts';
import { openSafetensors, readFileBytes, readModel, writeFileAtomic, writeModel } from '../src/node/index.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'coda-core-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function errorOf(promise: Promise<unknown>): Promise<CodaError> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (reason: unknown) => reason,
  );
  if (CodaError.isInstance(error)) return error;
  throw error;
}

describe('readFileBytes', () => {
  it('reads the whole file', async () => {
    const path = join(folder, 'a');
    for (const bytes of [new Uint8Array(0), Uint8Array.from({ length: 100_000 }, (_, i) => i)]) {
      writeFileSync(path, bytes);
      expect(await readFileBytes(path, { maxBytes: bytes.length })).toEqual(bytes);
    }
  });

  it('says what is wrong', async () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'abc');
    for (const [place, maxBytes, problem] of [
      [join(folder, 'none'), 9, 'no such file'],
      [join(path, 'none'), 9, 'no such file: a part of the path is no folder'],
      [folder, 9, 'this is a folder, not a file'],
      [path, 2, 'the file is too large; expected at most 2 bytes, got 3'],
      ['/dev/null', 9, 'this is not a regular file'],
    ] as const) {
      const error = await errorOf(readFileBytes(place, { maxBytes }));
      expect(error.message).toBe(`${place}: ${problem}`);
      expect(error.kind).toBe('unreadable');
    }
  });

  it('refuses a huge sparse file before it takes memory for it', async () => {
    const path = join(folder, 'huge');
    writeFileSync(path, '');
    truncateSync(path, 2 ** 40);
    expect((await errorOf(readModel(path))).message).toBe(
      `${path}: the file is too large; expected at most 4294967296 bytes, got 1099511627776`,
    );
  });
});

describe('writeFileAtomic', () => {
  it('writes, replaces, and leaves nothing beside', async () => {
    const path = join(folder, 'a');
    await writeFileAtomic(path, Uint8Array.of(1, 2));
    await writeFileAtomic(path, 'text');
    expect(readFileSync(path, 'utf8')).toBe('text');
    await Promise.all(Array.from({ length: 8 }, (_, i) => writeFileAtomic(path, `${i}`.repeat(1000))));
    expect(readFileSync(path, 'utf8')).toMatch(/^(\d)\1{999}$/);
    expect(readdirSync(folder)).toEqual(['a']);
  });

  it('says what is wrong and leaves what was there', async () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'old');
    mkdirSync(join(folder, 'b'));
    writeFileSync(join(folder, 'b', 'inside'), '');
    for (const [place, problem] of [
      [join(folder, 'none', 'a'), 'the folder does not exist'],
      [join(path, 'a'), 'a part of the path is no folder'],
      [join(folder, 'b'), 'this is a folder'],
    ] as const) {
      const error = await errorOf(writeFileAtomic(place, 'new'));
      expect(error.message).toBe(`${place}: ${problem}`);
      expect(error.kind).toBe('unavailable');
    }
    expect(readdirSync(folder)).toEqual(['a', 'b']);
    expect(readFileSync(path, 'utf8')).toBe('old');
  });

  it.skipIf(process.getuid?.() === 0)('names a folder one may not write in', async () => {
    chmodSync(folder, 0o500);
    expect((await errorOf(writeFileAtomic(join(folder, 'a'), ''))).problem).toBe('no permission to write there');
    chmodSync(folder, 0o700);
  });

  it('writes through a link, which stays a link', async () => {
    const target = join(folder, 'target');
    writeFileSync(target, 'old');
    symlinkSync('target', join(folder, 'link'));
    await writeFileAtomic(join(folder, 'link'), 'new');
    expect(readFileSync(target, 'utf8')).toBe('new');
  });

  it('keeps the mode of the file it replaces', async () => {
    const path = join(folder, 'a');
    writeFileSync(path, 'old', { mode: 0o600 });
    await writeFileAtomic(path, 'new');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });
});

describe('model files', () => {
  const model: Model = {
    config: { kind: 'coda' },
    preprocessing: { size: [1, 1], layout: 'rgb', range: [0, 1] },
    classNames: ['a'],
    weights: { w: ndArray('float32', [1], Float32Array.of(0.5)) },
  };

  it('go to disk and back', async () => {
    const path = join(folder, 'm.safetensors');
    await writeModel(path, model);
    expect(await readModel(path)).toEqual(model);
  });

  it('that are cut are named', async () => {
    const path = join(folder, 'm.safetensors');
    await writeModel(path, model);
    truncateSync(path, 100);
    const error = await errorOf(readModel(path));
    expect(error.kind).toBe('malformed');
    expect(error.message).toMatch(/m\.safetensors: the file ends inside its header; expected \d+ bytes, got 100$/);
  });
});

it.skipIf(process.platform === 'win32')('does not wait for a pipe, and does not put a file in its place', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await expect(openSafetensors(pipe)).rejects.toThrow('this is not a regular file');
  await expect(writeFileAtomic(pipe, 'text')).rejects.toThrow('this is not a regular file, and would become one');
});
