/** What a foreign file says of its weights' places, before anything opens them. */
import { ndArray } from '@coda-nets/core';
import { encodeModelWithData, readModelInfo, trace } from '@coda-nets/onnx';
import { useBackend } from '@coda-nets/tools/testkit';
import * as tf from '@tensorflow/tfjs-core';
import onnxProto from 'onnx-proto';
import { beforeAll, expect, it } from 'vitest';

beforeAll(() => useBackend('cpu'));

const { ModelProto } = onnxProto.onnx;
type Tensor = NonNullable<NonNullable<InstanceType<typeof ModelProto>['graph']>['initializer']>[number];

function fileWith(change: (tensor: Tensor) => void): Uint8Array {
  const graph = trace(({ x, w }) => ({ y: tf.mul(x as tf.Tensor, w as tf.Tensor) }), {
    inputs: { x: { shape: [400], dtype: 'float32' } },
    constants: { w: ndArray('float32', [400], new Float32Array(400)) },
  });
  const model = ModelProto.decode(encodeModelWithData(graph, 'model.onnx.data').model);
  change(model.graph?.initializer?.[0] as Tensor);
  return ModelProto.encode(model).finish();
}

const entry = (key: string, value: string) => (tensor: Tensor) => {
  tensor.externalData = [...(tensor.externalData ?? []).filter((e) => e.key !== key), { key, value }];
};

it('is read', () => {
  const { externalData } = readModelInfo(
    fileWith(() => undefined),
    'm.onnx',
  );
  expect(externalData).toEqual([{ tensor: 'w', location: 'model.onnx.data', offset: 0, length: 1600 }]);
});

it.each(['../model.data', '/etc/passwd', 'a/../../b', 'C:\\weights', 'a\\b', '', 'a//b', './a', 'a\0b', 'file:///etc/passwd'])(
  'leads out of the folder: %j',
  (location) => {
    expect(() => readModelInfo(fileWith(entry('location', location)), 'm.onnx')).toThrow(
      'm.onnx: tensor "w": its external data are not in the folder of the model; expected a relative path without "..", got ',
    );
  },
);

it.each<[string, (tensor: Tensor) => void, string]>([
  ['an offset below zero', entry('offset', '-4096'), 'offset of its external data; expected a whole number, got "-4096"'],
  ['an offset that no number holds', entry('offset', '9'.repeat(30)), 'offset of its external data; expected a whole number, got'],
  ['a length in words', entry('length', '1e3'), 'length of its external data; expected a whole number, got "1e3"'],
  ["a length that is not the shape's", entry('length', '1604'), 'its external data do not fill its shape; expected 1600 bytes, got 1604'],
  ['a negative size', (t) => (t.dims = [-400]), 'not a shape; expected sizes from 0, got [-400]'],
  [
    'more elements than can be counted',
    (t) => (t.dims = [2 ** 40, 2 ** 40]),
    'not a shape; expected sizes from 0, got [1099511627776, 1099511627776]',
  ],
  ['a data type of strings', (t) => (t.dataType = 8), 'a data type that is not read here'],
])('has %s', (_, change, text) => {
  expect(() => readModelInfo(fileWith(change), 'm.onnx')).toThrow(`m.onnx: tensor "w": ${text}`);
});
