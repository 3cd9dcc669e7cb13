/** What was opened on the way is released where a later part does not open: sessions of ONNX Runtime, and the folder of a trace. */
import { meanOverRanks, ndArray } from '@coda-nets/core';
import { cutGraph, encodeModel, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { loadOnnxRuntime, type OnnxRuntime } from '../src/load-onnx-runtime.ts';
import { openSession } from '../src/onnx-session.ts';
import { openStages } from '../src/stage-sessions.ts';

const options = { executionProviders: ['cpu'], intraOpNumThreads: 1, logSeverityLevel: 4 } as const;
const lost = new Error('no memory for this one');

let ort: OnnxRuntime;
let folder: string;
beforeAll(async () => {
  await useBackend('cpu');
  ort = await loadOnnxRuntime();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-released-test-'));
  vi.stubEnv('TMPDIR', folder);
  vi.stubEnv('TEMP', folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

/** ONNX Runtime, of which the session number `failing` does not open; how many did, and how many of those were released. */
function failingAt(failing: number): { readonly runtime: OnnxRuntime; readonly counts: { opened: number; released: number } } {
  const counts = { opened: 0, released: 0 };
  let asked = 0;
  const create: OnnxRuntime['InferenceSession']['create'] = async (...call: unknown[]) => {
    if (++asked === failing) throw lost;
    const session = await (ort.InferenceSession.create as (...all: unknown[]) => ReturnType<typeof ort.InferenceSession.create>)(...call);
    counts.opened++;
    const release = session.release.bind(session);
    session.release = async () => {
      await release();
      counts.released++;
    };
    return session;
  };
  return { runtime: { ...ort, InferenceSession: { create } } as OnnxRuntime, counts };
}

const x = { shape: [3], dtype: 'float32' as const };
const staged = cutGraph(
  trace(
    ({ a }) => {
      const first = meanOverRanks(tf.tanh(a as tf.Tensor), 'first');
      return { y: tf.exp(meanOverRanks(tf.exp(first), 'second')) };
    },
    { inputs: { a: x } },
  ),
);
const mean = async (): Promise<void> => undefined;

it.each([1, 2, 3])('stages, of which number %i does not open', async (failing) => {
  expect(staged.stages).toHaveLength(3);
  const { runtime, counts } = failingAt(failing);
  await expect(openStages(runtime, staged, options, mean)).rejects.toBe(lost);
  expect(counts).toEqual({ opened: 2, released: 2 });
});

it('stages that all open, when they are released', async () => {
  const { runtime, counts } = failingAt(0);
  const sessions = await openStages(runtime, staged, options, mean);
  expect(counts).toEqual({ opened: 3, released: 0 });
  await sessions.release();
  expect(counts).toEqual({ opened: 3, released: 3 });
});

it.each([
  ['the session', 1],
  ['the one that reads what stays on a GPU', 2],
])('a traced session, of which %s does not open', async (_, failing) => {
  const { runtime, counts } = failingAt(failing);
  const w = ndArray('float32', [3], new Float32Array(3));
  const model = encodeModel(
    trace(({ a, w: held }) => ({ w: tf.add(held as tf.Tensor, a as tf.Tensor) }), { inputs: { a: x }, carried: { w } }),
  );
  const plan = { model, options, shared: {}, sharedInputs: [], carried: { w }, onGpu: true, listFallbacks: true };
  await expect(openSession(runtime, plan)).rejects.toBe(lost);
  expect(counts).toEqual({ opened: failing - 1, released: failing - 1 });
  expect(await readdir(folder)).toEqual([]);
});
