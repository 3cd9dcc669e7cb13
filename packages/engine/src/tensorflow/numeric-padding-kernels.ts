/**
 * Convolutions and pooling with padding as a number, which tfjs-node's kernels refuse though TensorFlow's operations take it. Every other call goes to the
 * kernel that the package registered.
 */
import * as tf from '@tensorflow/tfjs-core';
import { FLOAT, tensorFlowOp, type Attribute, type NodeBackend } from './tensorflow-op.ts';

type Pad = 'valid' | 'same' | number | [[number, number], [number, number], [number, number], [number, number]];

interface WindowAttrs {
  readonly strides: number | [number, number];
  readonly pad: Pad;
  readonly dilations?: number | [number, number];
  readonly dimRoundingMode?: 'floor' | 'round' | 'ceil';
  readonly dataFormat?: 'NHWC' | 'NCHW';
  readonly inputShape?: readonly number[];
  readonly filterShape?: readonly number[];
  readonly filterSize?: number | [number, number];
}

type Shape4D = [number, number, number, number];
type Inputs = Readonly<Record<string, tf.TensorInfo>>;

interface PaddedOp {
  readonly kernelName: string;
  /** The two shapes that say how windows lie. */
  info(inputs: Inputs, attrs: WindowAttrs): tf.backend_util.Conv2DInfo;
  /** TensorFlow's operands; those that are made for the call are disposed after it. */
  operands(inputs: Inputs, attrs: WindowAttrs): readonly (tf.TensorInfo | readonly number[])[];
  attributes(info: tf.backend_util.Conv2DInfo): Readonly<Record<string, Attribute>>;
}

const shape = (tensor: tf.TensorInfo | undefined): Shape4D => (tensor as tf.TensorInfo).shape as Shape4D;

function convInfo(x: readonly number[], filter: readonly number[], { strides, pad, dilations = 1, dimRoundingMode }: WindowAttrs) {
  return tf.backend_util.computeConv2DInfo(x as Shape4D, filter as Shape4D, strides, dilations, pad, dimRoundingMode);
}
function poolInfo(x: readonly number[], { strides, pad, filterSize, dimRoundingMode }: WindowAttrs) {
  return tf.backend_util.computePool2DInfo(x as Shape4D, filterSize as number, strides, 1, pad, dimRoundingMode);
}
const convAttributes = ({ dilationHeight, dilationWidth }: tf.backend_util.Conv2DInfo) => ({
  dilations: [1, dilationHeight, dilationWidth, 1],
});
const poolAttributes = ({ filterHeight, filterWidth }: tf.backend_util.Conv2DInfo) => ({ ksize: [1, filterHeight, filterWidth, 1] });

const ops: readonly PaddedOp[] = [
  {
    kernelName: tf.Conv2D,
    info: ({ x, filter }, attrs) => convInfo(shape(x), shape(filter), attrs),
    operands: ({ x, filter }) => [x, filter] as tf.TensorInfo[],
    attributes: convAttributes,
  },
  {
    kernelName: tf.Conv2DBackpropInput,
    info: ({ filter }, attrs) => convInfo(attrs.inputShape as readonly number[], shape(filter), attrs),
    operands: ({ dy, filter }, { inputShape }) => [inputShape as readonly number[], filter as tf.TensorInfo, dy as tf.TensorInfo],
    attributes: convAttributes,
  },
  {
    kernelName: tf.Conv2DBackpropFilter,
    info: ({ x }, attrs) => convInfo(shape(x), attrs.filterShape as readonly number[], attrs),
    operands: ({ x, dy }, { filterShape }) => [x as tf.TensorInfo, filterShape as readonly number[], dy as tf.TensorInfo],
    attributes: convAttributes,
  },
  {
    kernelName: tf.MaxPool,
    info: ({ x }, attrs) => poolInfo(shape(x), attrs),
    operands: ({ x }) => [x as tf.TensorInfo],
    attributes: poolAttributes,
  },
  {
    kernelName: tf.MaxPoolGrad,
    info: ({ input }, attrs) => poolInfo(shape(input), attrs),
    operands: ({ input, output, dy }) => [input, output, dy] as tf.TensorInfo[],
    attributes: poolAttributes,
  },
];

/** In the place of the kernels that are registered for the backend `tensorflow`, which are asked where the padding is a word. */
export function numericPaddingConfigs(): readonly tf.KernelConfig[] {
  return ops.map(({ kernelName, ...op }) => {
    const stock = tf.getKernel(kernelName, 'tensorflow');
    return {
      kernelName,
      backendName: 'tensorflow',
      kernelFunc: (call) => {
        const attrs = call.attrs as unknown as WindowAttrs;
        if (typeof attrs.pad === 'string' || attrs.dataFormat === 'NCHW') return stock.kernelFunc(call);
        const info = op.info(call.inputs as Inputs, attrs);
        // the words have faster operations
        const word = asWord(info);
        if (word !== undefined) return stock.kernelFunc({ ...call, attrs: { ...call.attrs, pad: word } });
        const { top, bottom, left, right } = info.padInfo;
        const operands = op
          .operands(call.inputs as Inputs, attrs)
          .map((one) => (Array.isArray(one) ? tf.tensor1d(one as number[], 'int32') : (one as tf.TensorInfo)));
        const [result] = tensorFlowOp(call.backend as NodeBackend, kernelName, operands, {
          T: FLOAT,
          strides: [1, info.strideHeight, info.strideWidth, 1],
          padding: 'EXPLICIT',
          explicit_paddings: [0, 0, top, bottom, left, right, 0, 0],
          data_format: 'NHWC',
          ...op.attributes(info),
        });
        tf.dispose(operands.filter((one) => !Object.values(call.inputs).includes(one)) as tf.Tensor[]);
        return result as tf.Tensor;
      },
    } satisfies tf.KernelConfig;
  });
}

/** The word for the same zeros on all four sides. */
function asWord(info: tf.backend_util.Conv2DInfo): 'valid' | 'same' | undefined {
  const { top, bottom, left, right } = info.padInfo;
  if ([top, bottom, left, right].every((zeros) => zeros === 0)) return 'valid';
  const same = (size: number, stride: number, filter: number, out: number): [number, number] | undefined => {
    if (out !== Math.ceil(size / stride)) return undefined;
    const zeros = Math.max(0, (out - 1) * stride + filter - size);
    return [Math.floor(zeros / 2), Math.ceil(zeros / 2)];
  };
  const rows = same(info.inHeight, info.strideHeight, info.effectiveFilterHeight, info.outHeight);
  const columns = same(info.inWidth, info.strideWidth, info.effectiveFilterWidth, info.outWidth);
  const fits = rows?.[0] === top && rows[1] === bottom && columns?.[0] === left && columns[1] === right;
  return fits ? 'same' : undefined;
}
