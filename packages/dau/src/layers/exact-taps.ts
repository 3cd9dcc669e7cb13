/**
 * Where in a model of `tf.layers` contributions sum to z − b₀ by construction: at layers through whose output everything passes, and above which all
 * is linear or dynamic linear. Structure alone: no value is looked at. Layers it does not know count as not linear.
 */
import { CodaError } from '@coda-nets/core';
import { LayersModel, type layers, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { SumPoolLogits } from './sum-pool-logits.ts';

type Layer = layers.Layer;

/** The tap in front of all layers. */
export const inputTap = 'input';

/** By class name, as they are written into models: linear without a constant at inference. */
const linearClasses: ReadonlySet<string> = new Set(
  (
    'DauConv2d DauDense Add Average Concatenate Dropout Flatten Reshape Permute ZeroPadding2D Cropping2D UpSampling2D ' +
    'AveragePooling1D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D'
  ).split(' '),
);
/** Linear where they have neither bias nor activation. */
const affineClasses: ReadonlySet<string> = new Set(['Conv1D', 'Conv2D', 'DepthwiseConv2D', 'Dense']);

/** The layers a model runs, from the input to the output, without its input layer. A model that is a layer counts as one. */
export function layersOf(model: LayersModel): readonly Layer[] {
  const layers = [...new Set(tensorsOf(model).map(({ sourceLayer }) => sourceLayer))].filter((layer) => !isInput(layer));
  if (!layers.some(({ name }) => name === inputTap)) return layers;
  throw new CodaError({
    kind: 'argument',
    where: `contributions: model ${JSON.stringify(model.name)}`,
    problem: `a layer is called ${JSON.stringify(inputTap)}, which is the tap in front of all layers`,
    hint: 'Give it another name.',
  });
}

/** The taps below the model's last layer at which contributions are exact, from the input to the output: `input`, or names of layers. */
export function exactTaps(model: LayersModel): readonly string[] {
  const names = layersOf(model)
    .slice(0, -1)
    .map((layer) => layer.name);
  return [inputTap, ...names].filter((name) => isExactAt(model, name));
}

/** Whether nothing gets from the input to the output around the tap, and only linear layers are above it. */
export function isExactAt(model: LayersModel, tap: string): boolean {
  const tensors = tensorsOf(model);
  const last = outputOf(model).sourceLayer;
  const seen = new Set<SymbolicTensor>();
  /** Of the part of the model that makes `tensor` and is not below the tap. */
  const isLinearDown = (tensor: SymbolicTensor): boolean => {
    const layer = tensor.sourceLayer;
    if (isInput(layer)) return tap === inputTap;
    if (layer.name === tap) return tensors.filter(({ sourceLayer }) => sourceLayer === layer).length === 1;
    if (seen.has(tensor)) return true;
    seen.add(tensor);
    return (isLinear(layer) || (layer === last && isReadout(layer))) && tensor.inputs.every(isLinearDown);
  };
  return isLinearDown(outputOf(model));
}

/** The `SumPoolLogits` a model ends with, if it does: the part of its output that is not linear is this layer's b₀. */
export function readoutOf(model: LayersModel): SumPoolLogits | undefined {
  const last = outputOf(model).sourceLayer;
  if (last instanceof LayersModel) return readoutOf(last);
  return last instanceof SumPoolLogits ? last : undefined;
}

/** Everything the output is made of, each after what it is made of itself. */
function tensorsOf(model: LayersModel): readonly SymbolicTensor[] {
  const found = new Set<SymbolicTensor>();
  const visit = (tensor: SymbolicTensor): void => {
    if (found.has(tensor)) return;
    tensor.inputs.forEach(visit);
    found.add(tensor);
  };
  visit(outputOf(model));
  return [...found];
}

/** Throws where a model is not one function of one tensor. */
function outputOf({ name, inputs, outputs }: LayersModel): SymbolicTensor {
  const [output] = outputs;
  if (output !== undefined && outputs.length === 1 && inputs.length === 1) return output;
  throw new CodaError({
    kind: 'unsupported',
    where: `contributions: model ${JSON.stringify(name)}`,
    problem: 'not a function of one tensor to one',
    expected: '1 input and 1 output',
    got: `${inputs.length} and ${outputs.length}`,
  });
}

function isInput(layer: Layer): boolean {
  return layer.getClassName() === 'InputLayer';
}

function isLinear(layer: Layer): boolean {
  if (layer instanceof SumPoolLogits) return layer.logitBias === 0;
  if (layer instanceof LayersModel) return isReadout(layer) && (readoutOf(layer)?.logitBias ?? 0) === 0;
  if (linearClasses.has(layer.getClassName())) return true;
  const { useBias, activation } = layer.getConfig();
  return affineClasses.has(layer.getClassName()) && useBias === false && activation === 'linear';
}

/** Linear but for b₀. */
function isReadout(layer: Layer): boolean {
  return layer instanceof SumPoolLogits || (layer instanceof LayersModel && isExactAt(layer, inputTap));
}
