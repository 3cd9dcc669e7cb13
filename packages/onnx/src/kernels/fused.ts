/** Convolutions that add a bias and end with an activation. */
import { kernel, type KernelContext } from '../kernel.ts';
import type { Layouts, TracedArray } from '../traced-array.ts';
import { activated, type ActivationAttrs } from './activation.ts';
import { fromNhwc, toNhwc, type ConvolutionAttrs } from './convolution-geometry.ts';
import { convolution } from './convolution.ts';
import { depthwiseConvolution } from './depthwise-convolution.ts';
import { elementwise } from './elementwise.ts';

interface Inputs {
  readonly x: TracedArray;
  readonly filter: TracedArray;
  readonly bias?: TracedArray;
  readonly preluActivationWeights?: TracedArray;
}

type Attrs = ConvolutionAttrs & ActivationAttrs;
type Convolution = (x: TracedArray, filter: TracedArray, attrs: ConvolutionAttrs, layouts: Layouts) => TracedArray;

/** Bias and slopes of one axis belong to the channels in either data format; slopes of three axes are in the data format. */
function fused(convolve: Convolution, { x, filter, bias, preluActivationWeights }: Inputs, context: KernelContext<Attrs>): TracedArray {
  const { attrs, layouts } = context;
  const y = convolve(toNhwc(x, attrs, layouts), filter, attrs, layouts);
  const added = bias === undefined ? y : elementwise(layouts, 'Add', [y, bias], 'float32');
  const slopes =
    attrs.dataFormat === 'NCHW' && preluActivationWeights?.shape.length === 3
      ? layouts.transpose(preluActivationWeights, [1, 2, 0])
      : preluActivationWeights;
  return fromNhwc(activated(added, slopes, context), attrs, layouts);
}

kernel<Inputs, Attrs>('FusedConv2D', (inputs, context) => fused(convolution, inputs, context));
kernel<Inputs, Attrs>('FusedDepthwiseConv2D', (inputs, context) => fused(depthwiseConvolution, inputs, context));
