/** Operations that move data: reshapes, slices, padding, concatenation, gathering, scattering. */
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { oneOf, operation, shapeAndAxis, shapes, type Operation } from './operation.ts';

const anyDtype = oneOf('float32' as const, 'int32' as const, 'bool' as const);
const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** begin and size within each axis */
const slices = shapes(1, 4).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    cuts: fc.tuple(
      ...shape.map((d) => fc.integer({ min: 0, max: d - 1 }).chain((begin) => fc.tuple(fc.constant(begin), small(d - begin)))),
    ),
    dtype: anyDtype,
  }),
);

/** Steps of either sign, or single elements of axes that then go: TensorFlow.js's cpu backend has one or the other. */
const strided = fc.tuple(shapes(1, 4), fc.boolean()).chain(([shape, single]) =>
  fc.record({
    shape: fc.constant(shape),
    strides: fc.tuple(...shape.map(() => (single ? fc.constant(1) : oneOf(1, 2, 3, -1, -2)))),
    ends: fc.tuple(...shape.map((d) => fc.tuple(fc.integer({ min: 0, max: d - 1 }), fc.integer({ min: 0, max: d - 1 })))),
    beginMask: single ? fc.constant(0) : fc.nat(2 ** shape.length - 1),
    endMask: single ? fc.constant(0) : fc.nat(2 ** shape.length - 1),
    shrinkAxisMask: single ? fc.nat(2 ** shape.length - 1) : fc.constant(0),
  }),
);
/** [from, to) upwards; downwards from the later place to before the earlier, or to the first element where both are one. */
function bounds(step: number, [a, b]: readonly [number, number], size: number): readonly [number, number] {
  if (step > 0) return [Math.min(a, b), Math.max(a, b) + 1];
  return [Math.max(a, b), a === b ? -size - 1 : Math.min(a, b)];
}

const permutations = shapes(1, 4).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    perm: fc.shuffledSubarray(
      shape.map((_, i) => i),
      { minLength: shape.length },
    ),
  }),
);

const pads = shapes(1, 4).chain((shape) =>
  fc.record({ shape: fc.constant(shape), paddings: fc.tuple(...shape.map(() => fc.tuple(fc.nat(2), fc.nat(2)))), value: oneOf(0, 2.5) }),
);

const mirrors = fc.tuple(shapes(1, 4), oneOf('reflect' as const, 'symmetric' as const)).chain(([shape, mode]) =>
  fc.record({
    shape: fc.constant(shape),
    mode: fc.constant(mode),
    paddings: fc.tuple(...shape.map((d) => fc.tuple(fc.nat(mode === 'reflect' ? d - 1 : d), fc.nat(mode === 'reflect' ? d - 1 : d)))),
  }),
);

const concats = shapeAndAxis(1, 4).chain(({ shape, axis }) =>
  fc.record({ shape: fc.constant(shape), axis: fc.constant(axis), second: small(3), dtype: anyDtype }),
);

const gathers = shapeAndAxis(1, 3).chain(({ shape, axis }) =>
  fc.record({ shape: fc.constant(shape), axis: fc.constant(axis < 0 ? axis + shape.length : axis), indices: shapes(1, 2, 3) }),
);

const nd = fc.tuple(shapes(1, 4, 3), shapes(0, 2, 3)).chain(([shape, batch]) =>
  fc.record({
    shape: fc.constant(shape),
    batch: fc.constant(batch),
    depth: small(shape.length),
    values: fc.array(fc.nat(999), { minLength: 40, maxLength: 40 }),
  }),
);
/** Indices [batch…, depth] into `shape`. */
function indicesOf({ shape, batch, depth, values }: { shape: number[]; batch: number[]; depth: number; values: number[] }): tf.Tensor {
  const numbers = Array.from(
    { length: sizeOf(batch) * depth },
    (_, i) => (values[i % values.length] as number) % (shape[i % depth] as number),
  );
  return tf.tensor(numbers, [...batch, depth], 'int32');
}

/** TensorFlow.js has no gradient of a split into one part. */
const isLong = ({ shape, axis }: { shape: number[]; axis: number }): boolean => shape.at(axis) !== 1;

export const shapeOperations: readonly Operation[] = [
  operation(
    'reshape',
    fc.record({ shape: shapes(0, 4), keep: fc.nat(3) }),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { shape, keep }) => tf.reshape(x, [...shape.slice(0, keep), -1]),
  ),
  operation(
    'transpose',
    permutations,
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { perm }) => tf.transpose(x, perm),
  ),
  operation(
    'expandDims',
    shapeAndAxis(1, 3),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { axis }) => tf.expandDims(x, axis),
  ),
  operation(
    'slice',
    slices,
    ({ shape, dtype }) => ({ x: { shape, dtype } }),
    ({ x }, { cuts }) =>
      tf.slice(
        x,
        cuts.map(([begin]) => begin),
        cuts.map(([, size]) => size),
      ),
    ({ dtype }) => dtype === 'float32',
  ),
  operation(
    'stridedSlice',
    strided,
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { shape, strides, ends, beginMask, endMask, shrinkAxisMask }) => {
      const cuts = ends.map((pair, i) => bounds(strides[i] as number, pair, shape[i] as number));
      return tf.stridedSlice(
        x,
        cuts.map(([from]) => from),
        cuts.map(([, to]) => to),
        [...strides],
        beginMask,
        endMask,
        0,
        0,
        shrinkAxisMask,
      );
    },
    false,
  ),
  operation(
    'pad',
    pads,
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { paddings, value }) =>
      tf.pad(
        x,
        paddings.map((p): [number, number] => [...p]),
        value,
      ),
  ),
  operation(
    'mirrorPad',
    mirrors,
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { paddings, mode }) =>
      tf.mirrorPad(
        x,
        paddings.map((p): [number, number] => [...p]),
        mode,
      ),
    false,
  ),
  operation(
    'concat',
    concats,
    ({ shape, axis, second, dtype }) => ({
      a: { shape, dtype },
      b: { shape: shape.map((d, i) => (i === (axis + shape.length) % shape.length ? second : d)), dtype },
    }),
    ({ a, b }, { axis }) => tf.concat([a, b, a], axis),
    ({ dtype }) => dtype === 'float32',
  ),
  operation(
    'stack and unstack',
    shapeAndAxis(1, 3),
    ({ shape }) => ({ a: { shape }, b: { shape } }),
    ({ a, b }, { axis }) => [tf.stack([a, b], axis), ...tf.unstack(a, axis)],
    isLong,
  ),
  operation(
    'split',
    shapeAndAxis(1, 4),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { shape, axis }) => tf.split(x, shape[(axis + shape.length) % shape.length] as number, axis),
    isLong,
  ),
  operation(
    'tile',
    shapes(1, 4, 3).chain((shape) =>
      fc.record({ shape: fc.constant(shape), reps: fc.array(small(2), { minLength: shape.length, maxLength: shape.length }) }),
    ),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { reps }) => tf.tile(x, reps),
  ),
  operation(
    'reverse',
    shapeAndAxis(1, 4),
    ({ shape }) => ({ x: { shape } }),
    ({ x }, { axis }) => tf.reverse(x, axis),
  ),
  operation(
    'flipLeftRight',
    fc.record({ shape: shapes(4, 4) }),
    ({ shape }) => ({ x: { shape } }),
    ({ x }) => tf.image.flipLeftRight(x),
    false,
  ),
  operation(
    'diag',
    fc.record({ shape: shapes(1, 2, 3) }),
    ({ shape }) => ({ x: { shape } }),
    ({ x }) => tf.diag(x),
    false,
  ),
  operation(
    'oneHot',
    fc.record({ shape: shapes(1, 3), depth: fc.integer({ min: 2, max: 5 }), on: oneOf(1, 0.9), off: oneOf(0, 0.1) }),
    ({ shape }) => ({ x: { shape, dtype: 'int32', from: 0, to: 5 } }),
    ({ x }, { depth, on, off }) => tf.oneHot(x, depth, on, off, 'float32'),
    false,
  ),
  operation(
    'fill, range, linspace',
    fc.record({ start: fc.integer({ min: -3, max: 3 }), count: small(5) }),
    ({ count }) => ({ x: { shape: [count] } }),
    ({ x }, { start, count }) =>
      tf.addN([tf.mul(x, tf.fill([count], start)), tf.range(start, start + count), tf.linspace(start, 1, count)]),
  ),
  operation(
    'gather',
    gathers,
    ({ shape, axis, indices }) => ({ x: { shape }, i: { shape: indices, dtype: 'int32', from: 0, to: shape[axis] as number } }),
    ({ x, i }, { axis }) => tf.gather(x, i, axis),
  ),
  operation(
    'gather in batches',
    gathers.filter(({ axis, indices, shape }) => axis > 0 && indices.length > 0 && shape.length > 1),
    ({ shape, axis, indices }) => ({
      x: { shape },
      i: { shape: [shape[0] as number, ...indices], dtype: 'int32', from: 0, to: shape[axis] as number },
    }),
    ({ x, i }, { axis }) => tf.gather(x, i, axis, 1),
    false,
  ),
  operation(
    'gatherND',
    nd,
    ({ shape }) => ({ x: { shape } }),
    ({ x }, p) => tf.gatherND(x, indicesOf(p)),
    false,
  ),
  operation(
    'scatterND',
    fc.record({ at: nd.filter(({ batch }) => batch.length > 0), dtype: oneOf('float32' as const, 'int32' as const) }),
    ({ at, dtype }) => ({ updates: { shape: [...at.batch, ...at.shape.slice(at.depth)], dtype } }),
    ({ updates }, { at }) => tf.scatterND(indicesOf(at), updates, at.shape),
    false,
  ),
  operation(
    'tensorScatterUpdate',
    nd.filter(({ batch }) => batch.length > 0),
    ({ shape, batch, depth }) => ({ x: { shape }, updates: { shape: [...batch, ...shape.slice(depth)] } }),
    ({ x, updates }, p) => tf.tensorScatterUpdate(x, indicesOf(p), updates),
    false,
  ),
  operation(
    'sparseToDense',
    fc.record({ size: small(6), count: small(3) }).filter(({ size, count }) => count <= size),
    ({ size, count }) => ({ i: { shape: [count], dtype: 'int32', from: 0, to: size, repeats: false }, v: { shape: [count] } }),
    ({ i, v }, { size }) => tf.sparseToDense(i, v, [size], 0.5),
    false,
  ),
  operation(
    'unsortedSegmentSum',
    fc.record({ shape: shapes(1, 3), segments: small(4) }),
    ({ shape, segments }) => ({ x: { shape }, ids: { shape: shape.slice(0, 1), dtype: 'int32', from: -1, to: segments + 1 } }),
    ({ x, ids }, { segments }) => tf.unsortedSegmentSum(x, ids, segments),
    false,
  ),
  operation(
    'segment sum and its gradient',
    fc.record({ shape: shapes(1, 3), segments: small(4) }),
    ({ shape, segments }) => ({ x: { shape }, ids: { shape: shape.slice(0, 1), dtype: 'int32', from: 0, to: segments } }),
    ({ x, ids }, { segments }) => tf.unsortedSegmentSum(x, ids, segments),
  ),
  operation(
    'spaceToBatchND',
    fc.record({ n: small(2), h: small(3), w: small(3), c: small(3), block: fc.tuple(small(2), small(2)), before: fc.nat(1) }),
    ({ n, h, w, c, block }) => ({ x: { shape: [n, h * block[0], w * block[1], c] } }),
    ({ x }, { block, before }) =>
      tf.spaceToBatchND(
        x,
        [...block],
        [
          [before * block[0], 0],
          [0, before * block[1]],
        ],
      ),
  ),
  operation(
    'batchToSpaceND',
    fc.record({
      n: small(2),
      h: fc.integer({ min: 2, max: 3 }),
      w: small(3),
      c: small(3),
      block: fc.tuple(small(2), small(2)),
      crop: fc.nat(1),
    }),
    ({ n, h, w, c, block }) => ({ x: { shape: [n * block[0] * block[1], h, w, c] } }),
    ({ x }, { block, crop }) =>
      tf.batchToSpaceND(
        x,
        [...block],
        [
          [crop, 0],
          [0, 0],
        ],
      ),
  ),
  operation(
    'depthToSpace',
    fc.record({ n: small(2), h: small(3), w: small(3), c: small(3), block: oneOf(2, 3) }),
    ({ n, h, w, c, block }) => ({ x: { shape: [n, h, w, c * block * block] } }),
    ({ x }, { block }) => tf.depthToSpace(x, block, 'NHWC'),
    false,
  ),
];
