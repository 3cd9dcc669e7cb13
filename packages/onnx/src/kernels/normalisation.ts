/** Batch normalisation with given statistics, and local response normalisation with its gradient. */
import { int, ints } from '../graph.ts';
import { kernel, type KernelContext } from '../kernel.ts';
import { NCHW, type TracedArray } from '../traced-array.ts';
import { nhwc } from './convolution-geometry.ts';
import { formula } from './elementwise.ts';

interface BatchNormInputs {
  readonly x: TracedArray;
  readonly mean: TracedArray;
  readonly variance: TracedArray;
  readonly scale?: TracedArray;
  readonly offset?: TracedArray;
}

/** (x − mean) · scale / √(variance + ε) + offset. Statistics have one axis, or as many as x. */
kernel<BatchNormInputs, { varianceEpsilon: number }>('FusedBatchNorm', (inputs, { attrs, layouts, builder }) => {
  const { x, mean, variance, scale, offset } = inputs;
  const f = formula(layouts);
  const perChannel = [mean, variance, scale, offset].every((a) => a === undefined || a.shape.length === 1);
  // where channels lie first, the operator that runtimes merge with a convolution
  if (perChannel && x.shape.length === 4 && x.order.join() === NCHW.join()) {
    const vector = (a: TracedArray | undefined, otherwise: number) =>
      layouts.dense(a ?? { value: builder.scalar(otherwise), shape: mean.shape, order: [0] });
    const operands = [layouts.dense(x, NCHW), vector(scale, 1), vector(offset, 0), vector(mean, 0), vector(variance, 1)];
    const shape = NCHW.map((axis) => x.shape[axis] as number);
    return nhwc(builder.emit('BatchNormalization', operands, 'float32', shape, { epsilon: { float: attrs.varianceEpsilon } }));
  }
  const inverse = f('Reciprocal', f('Sqrt', f('Add', variance, attrs.varianceEpsilon)));
  const normal = f('Mul', f('Sub', x, mean), scale === undefined ? inverse : f('Mul', scale, inverse));
  return offset === undefined ? normal : f('Add', normal, offset);
});

interface ResponseAttrs {
  readonly depthRadius: number;
  readonly bias: number;
  readonly alpha: number;
  readonly beta: number;
}

/** Σ of x [N, H, W, C] over the channels c − radius … c + radius: an average over windows whose padding counts, times their size. */
function windowSum(x: TracedArray, { attrs: { depthRadius }, layouts, builder }: KernelContext<ResponseAttrs>): TracedArray {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const single = layouts.builder.reshape(layouts.dense(x, NCHW), [n, 1, c, h * w]);
  const mean = builder.emit('AveragePool', [single], 'float32', [n, 1, c, h * w], {
    kernel_shape: ints([2 * depthRadius + 1, 1]),
    strides: ints([1, 1]),
    pads: ints([depthRadius, 0, depthRadius, 0]),
    count_include_pad: int(1),
  });
  return formula(layouts)('Mul', nhwc(layouts.builder.reshape(mean, [n, c, h, w])), 2 * depthRadius + 1);
}

/** bias + α Σ x² */
function norm(x: TracedArray, context: KernelContext<ResponseAttrs>): TracedArray {
  const f = formula(context.layouts);
  return f('Add', f('Mul', windowSum(f('Mul', x, x), context), context.attrs.alpha), context.attrs.bias);
}

kernel<{ x: TracedArray }, ResponseAttrs>('LRN', ({ x }, context) => {
  const f = formula(context.layouts);
  return f('Mul', x, f('Pow', norm(x, context), -context.attrs.beta));
});

/** dx_k = dy_k · norm_k^−β − 2αβ · x_k · Σ_j y_j dy_j / norm_j over the channels j whose window has k. */
kernel<{ x: TracedArray; y: TracedArray; dy: TracedArray }, ResponseAttrs>('LRNGrad', ({ x, y, dy }, context) => {
  const f = formula(context.layouts);
  const { alpha, beta } = context.attrs;
  const scale = norm(x, context);
  const others = windowSum(f('Div', f('Mul', y, dy), scale), context);
  return f('Sub', f('Mul', dy, f('Pow', scale, -beta)), f('Mul', f('Mul', x, others), 2 * alpha * beta));
});
