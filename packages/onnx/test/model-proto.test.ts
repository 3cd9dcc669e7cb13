/** The bytes, read back by the schema they were written with. */
import { ndArray } from '@coda-nets/core';
import { encodeModel, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import onnxProto from 'onnx-proto';
import { beforeAll, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

it('writes inputs, outputs, weights, nodes and metadata', () => {
  const weights = ndArray('float32', [2], Float32Array.of(1.5, -2));
  const graph = trace(({ x, w }) => ({ y: tf.sum(tf.mul(x as tf.Tensor, w as tf.Tensor), 1) }), {
    inputs: { x: { shape: ['batch', 2], dtype: 'uint8' } },
    constants: { w: weights },
  });
  const model = onnxProto.onnx.ModelProto.decode(encodeModel(graph, { metadata: { classes: '["a"]' }, producerVersion: '1.2.3' }));
  expect(Number(model.irVersion)).toBe(8);
  expect(model.opsetImport.map(({ domain, version }) => [domain, Number(version)])).toEqual([['', 17]]);
  expect(model.producerVersion).toBe('1.2.3');
  expect(model.metadataProps.map(({ key, value }) => [key, value])).toEqual([['classes', '["a"]']]);
  const dims = model.graph?.input?.[0]?.type?.tensorType?.shape?.dim?.map((d) => d.dimParam || Number(d.dimValue));
  expect(dims).toEqual(['batch', 2]);
  const weight = model.graph?.initializer?.find(({ name }) => name === 'w');
  expect([...(weight?.rawData ?? [])]).toEqual([...new Uint8Array(weights.data.buffer)]);
  expect(model.graph?.node?.map(({ opType }) => opType)).toEqual(['Cast', 'Cast', 'Mul', 'ReduceSum']);
});
