/** What the browser test runs in the page: an exported file by onnxruntime-web, and the packages themselves. */
import { contributionsAtTaps } from '@coda-nets/depth';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import * as onWasm from 'onnxruntime-web/wasm';
import * as onWebgpu from 'onnxruntime-web/webgpu';
import { images, model, network, smallHybridFile, targets } from './small-hybrid.ts';

/** Numbers as a test in Node gets them. */
type Numbers = Readonly<Record<string, readonly number[]>>;

/** The exported file, fetched and run by onnxruntime-web. */
async function runFile(provider: 'wasm' | 'webgpu'): Promise<Numbers> {
  const ort = provider === 'wasm' ? onWasm : onWebgpu;
  ort.env.wasm.wasmPaths = '/onnxruntime/';
  ort.env.wasm.numThreads = 1;
  const file = await (await fetch('/hybrid.onnx')).arrayBuffer();
  const session = await ort.InferenceSession.create(file, { executionProviders: [provider] });
  const results = await session.run({
    image: new ort.Tensor('float32', images.data, images.shape),
    target: new ort.Tensor('int64', BigInt64Array.from(targets, BigInt), [targets.length]),
  });
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, [...(data as Float32Array)]]));
}

/** Logits and maps computed by the packages in the page, on TensorFlow.js. */
async function runPackages(): Promise<Numbers> {
  await tf.setBackend('cpu');
  const taps = ['input', ...network.taps.filter(({ exact }) => exact).map(({ name }) => name)];
  return tf.tidy(() => {
    const weights = Object.fromEntries(
      Object.entries(model.weights).map(([name, { data, shape }]) => [name, tf.tensor(data as Float32Array, [...shape])]),
    );
    const x = tf.tensor4d(images.data, images.shape as [number, number, number, number]);
    const result = contributionsAtTaps(network, weights, x, tf.tensor1d([...targets], 'int32'), taps);
    const maps = Object.entries(result.taps).map(([tap, { map }]) => [`contributions_${tap}`, [...map.dataSync()]] as const);
    return { logits: [...result.logits.dataSync()], ...Object.fromEntries(maps) };
  });
}

/** The bytes of the file when the page makes it. */
const makeFile = (): number[] => [...smallHybridFile()];

const hasWebgpu = async (): Promise<boolean> => {
  const { gpu } = (globalThis as unknown as { navigator: { gpu?: { requestAdapter(): Promise<unknown> } } }).navigator;
  return gpu !== undefined && (await gpu.requestAdapter().catch(() => null)) !== null;
};

const codaPage = { runFile, runPackages, makeFile, hasWebgpu };
export type CodaPage = typeof codaPage;
Object.assign(globalThis, { codaPage });
