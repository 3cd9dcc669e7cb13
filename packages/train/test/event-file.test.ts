/** The event files of a run: byte for byte TensorBoard's own, and what TensorBoard makes of those of a run that was killed and taken up again. */
import { spawnSync } from 'node:child_process';
import { appendFile, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Engine } from '@coda-nets/core';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { useBackend } from '@coda-nets/tools/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { syntheticDataset, train } from '../src/index.ts';
import { openRunFolder } from '../src/run-folder.ts';
import { crc32c } from '../src/tensorboard/crc32c.ts';
import { openEventFile, scalarsOf } from '../src/tensorboard/event-file.ts';
import { eventRecord, type EventContent } from '../src/tensorboard/event-record.ts';
import { temporaryFolder } from './data/temporary-folder.ts';
import golden from './golden/event-file.json' with { type: 'json' };
import { side, tinyNetwork } from './tiny-network.ts';

const python = process.env['CODA_PYTHON'] ?? 'python3';
const hasTensorboard = spawnSync(python, ['-c', 'import tensorboard']).status === 0;

const eventFiles = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter((name) => name.startsWith('events.out.tfevents.')).sort();

describe('a record', () => {
  /** As tools/goldens/event_files.py has them. */
  const contents: readonly [step: number, content: EventContent][] = [
    [0, { kind: 'file-version' }],
    [301, { kind: 'session-start' }],
    [2 ** 40, { kind: 'scalars', values: { 'step/loss': 0.1, 'step/learningRate': -2.5e-4 } }],
    [7, { kind: 'image', tag: 'maps/0', png: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), width: 2, height: 300 }],
    [0, { kind: 'text', tag: 'config', text: 'λ = ½' }],
  ];
  it.each(contents.map((content, i) => [content[1].kind, content, golden.records[i]] as const))(
    'of %s is the one that TensorBoard writes',
    (_, [step, content], record) => {
      expect(Buffer.from(eventRecord(golden.wallTime, step, content)).toString('base64')).toBe(record);
    },
  );

  it('has the checksums of RFC 3720, appendix B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a91_36aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8_ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd_794e);
  });
});

describe('event files', () => {
  it('are read in the order in which they were begun, also with a clock that was set back', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'events.out.tfevents.9000000000.elsewhere.1'), '');
    for (let i = 0; i < 3; i++) await (await openEventFile(folder, 0)).close();
    const seconds = (await eventFiles(folder)).map((name) => Number(name.split('.')[3]));
    expect(seconds).toEqual([9000000000, 9000000001, 9000000002, 9000000003]);
  });

  it('of a run that begins anew void those before', async () => {
    const folder = await temporaryFolder();
    for (let i = 0; i < 2; i++) await (await openEventFile(folder, 0)).close();
    const [first, second] = await Promise.all((await eventFiles(folder)).map((name) => readFile(join(folder, name))));
    const started = eventRecord(0, 0, { kind: 'session-start' });
    expect((second as Buffer).length - (first as Buffer).length).toBe(started.length);
  });

  it('name the numbers of a line, those of objects under the object', () => {
    const line = { type: 'epoch', step: 9, epoch: 1, trainLoss: 0.5, alignment: { 'head.0': { norm: { mean: 0.25 } } }, note: 'x' };
    expect(scalarsOf(line)).toEqual({ 'epoch/trainLoss': 0.5, 'alignment/head.0/norm/mean': 0.25 });
  });
});

describe('a run', () => {
  let engine: Engine;
  beforeAll(async () => {
    await useBackend('cpu');
    engine = await onnxRuntimeEngine({ threads: 1 });
  });
  const run = (out: string, resume: boolean, stopAt?: number) => {
    const stop = new AbortController();
    return train({
      network: tinyNetwork(),
      dataset: syntheticDataset({ classes: 4, perClass: 10, size: side }),
      engine,
      out,
      resume,
      config: {
        epochs: 3,
        batch: 4,
        learningRate: 0.02,
        validation: { kind: 'held-out', count: 12 },
        logEverySteps: 1,
        checkpointEverySteps: 3,
      },
      signal: stop.signal,
      onEvent: (event) => event.type === 'step' && event.step === stopAt && stop.abort(),
    });
  };
  const linesOf = async (out: string) =>
    (await readFile(join(out, 'metrics.jsonl'), 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; step: number });

  /** What TensorBoard has to show: the numbers of metrics.jsonl, as float32. */
  async function expectSeen(out: string): Promise<Record<string, unknown>> {
    const reader = fileURLToPath(new URL('tensorboard-values.py', import.meta.url));
    const { stdout, stderr } = spawnSync(python, [reader, out], { encoding: 'utf8' });
    const seen = JSON.parse(stdout || `{"failed": ${JSON.stringify(stderr)}}`) as { scalars: Record<string, unknown> };
    const expected: Record<string, [number, number][]> = {};
    for (const line of await linesOf(out)) {
      for (const [tag, value] of Object.entries(scalarsOf(line))) (expected[tag] ??= []).push([line.step, Math.fround(value)]);
    }
    expect(seen.scalars).toEqual(expected);
    return seen;
  }

  it('ended, killed and taken up again shows each step once', async ({ skip }) => {
    if (!hasTensorboard) skip(`no tensorboard in ${python}: name a Python that has it with CODA_PYTHON`);
    const out = await temporaryFolder();
    await run(out, false, 5);
    // as a killed process leaves it: later steps than the checkpoint's, and half a record
    const [first] = await eventFiles(out);
    const path = join(out, first as string);
    const late = eventRecord(1, 6, { kind: 'scalars', values: { 'step/loss': 99 } });
    await appendFile(path, late);
    await appendFile(path, late);
    await truncate(path, (await readFile(path)).length - 5);
    await run(out, true, 7);
    await run(out, true, 17);
    await run(out, true);
    expect(await eventFiles(out)).toHaveLength(4);
    const seen = await expectSeen(out);
    expect(seen['texts']).toEqual({ config: [expect.stringMatching(/^```json\n\{[^]*"learningRate": 0\.02[^]*\}\n```$/)] });
    // nothing is left to do, so nothing is told
    await run(out, true);
    expect(await eventFiles(out)).toHaveLength(4);
  });

  it('killed between the line of an epoch and its checkpoint tells of the epoch once', async ({ skip }) => {
    const out = await temporaryFolder();
    await run(out, false, 7);
    const before = await linesOf(out);
    // the epoch's end was logged, its checkpoint not
    const folder = await openRunFolder(out, { step: 7, epochEndPending: true });
    await folder.log({ type: 'epoch', step: 7, epoch: 1, trainLoss: 99 });
    await folder.logImage(7, { tag: 'maps/0', png: Uint8Array.of(1), width: 3, height: 4 });
    await folder.close();
    expect(await linesOf(out)).toHaveLength(before.length + 1);
    await run(out, true);
    const epochs = (await linesOf(out)).filter(({ type }) => type === 'epoch');
    expect(epochs.map(({ step }) => step)).toEqual([7, 14, 21]);
    if (!hasTensorboard) skip(`metrics.jsonl is right; no tensorboard in ${python}: name a Python that has it with CODA_PYTHON`);
    expect(await expectSeen(out)).toMatchObject({ images: {} });
  });
});
