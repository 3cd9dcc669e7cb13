/**
 * Where in a model of `tf.layers` contributions sum to z − b₀ by construction: at layers through whose output everything passes, and above which all
 * is linear or dynamic linear. Structure alone: no value is looked at. Layers it does not know count as not linear.
 */
import { checkObject, CodaError, described, type Tap } from '@coda-nets/core';
import { NetworkLayer } from '@coda-nets/core/layers';
import { LayersModel, type layers, type SymbolicTensor } from '@tensorflow/tfjs-layers';
import { SumPoolLogits } from './sum-pool-logits.ts';

type Layer = layers.Layer;

/** A layer that adds b₀ to what is linear below it. */
export type Readout = SumPoolLogits | NetworkLayer;

/** The tap in front of all layers. */
export const inputTap = 'input';

/** By class name, as they are written into models: linear without a constant at inference. */
const linearClasses: ReadonlySet<string> = new Set(
  (
    'DauConv2d DauDense Add Average Concatenate Dropout Flatten Reshape Permute ZeroPadding2D Cropping2D UpSampling2D ' +
    'GlobalAveragePooling1D GlobalAveragePooling2D'
  ).split(' '),
);
/** Linear; but with padding tfjs's gradient of the mean counts the zeros at the border, its result does not. */
const poolingClasses: ReadonlySet<string> = new Set(['AveragePooling1D', 'AveragePooling2D']);
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

/**
 * The taps below the model's last layer at which contributions are exact, from the input to the output: `input`, or names of layers; of a model that ends
 * in a whole network also the network's own, as `layer/tap`.
 */
export function exactTaps(model: LayersModel): readonly string[] {
  checkModel('exactTaps', model);
  const names = layersOf(model)
    .slice(0, -1)
    .map((layer) => layer.name);
  return [inputTap, ...names, ...insideTaps(model).keys()].filter((name) => isExactAt(model, name));
}

/** The taps inside the whole network that a model ends with, if it does, by the name they have in the model: `coda_network/layers.0`. */
export function insideTaps(model: LayersModel): ReadonlyMap<string, Tap> {
  const readout = readoutOf(model);
  if (!(readout instanceof NetworkLayer)) return new Map();
  return new Map(readout.network.taps.map((tap) => [`${readout.name}/${tap.name}`, tap]));
}

/** Whether nothing gets from the input to the output around the tap, and only linear layers are above it. */
export function isExactAt(model: LayersModel, tap: string): boolean {
  const inside = insideTaps(model).get(tap);
  if (inside !== undefined) return inside.exact;
  const tensors = tensorsOf(model);
  const output = outputOf(model);
  const hasReadout = readoutOf(model) !== undefined;
  const seen = new Set<SymbolicTensor>();
  /** Of the part of the model that makes `tensor` and is not below the tap. */
  const isLinearDown = (tensor: SymbolicTensor): boolean => {
    const layer = tensor.sourceLayer;
    if (isInput(layer)) return tap === inputTap;
    if (layer.name === tap) return tensors.filter(({ sourceLayer }) => sourceLayer === layer).length === 1;
    if (seen.has(tensor)) return true;
    seen.add(tensor);
    return (isLinear(layer) || (hasReadout && tensor === output && isReadout(layer))) && tensor.inputs.every(isLinearDown);
  };
  return isLinearDown(output);
}

/**
 * The layer whose b₀ the output has, if the model ends with one: the part of its output that is not linear is this b₀. None where the layer is used a second
 * time, since b₀ then has gone through something else too.
 */
export function readoutOf(model: LayersModel): Readout | undefined {
  const readout = lastLayerOf(model);
  if (!(readout instanceof SumPoolLogits || readout instanceof NetworkLayer)) return undefined;
  return callsOf(model, readout) === 1 ? readout : undefined;
}

/** Throws a CodaError for anything but a model of `tf.layers`. */
export function checkModel(where: string, model: unknown): asserts model is LayersModel {
  const expected = 'a model of tf.layers, such as tf.sequential(…)';
  checkObject(`${where}: model`, model, expected);
  if (model instanceof LayersModel) return;
  throw new CodaError({ kind: 'argument', where: `${where}: model`, problem: 'not a model', expected, got: described(model) });
}

/** Through models that are layers. */
function lastLayerOf(model: LayersModel): Layer {
  const last = outputOf(model).sourceLayer;
  return last instanceof LayersModel ? lastLayerOf(last) : last;
}

/** How often a pass runs a layer, here and in models that are layers. */
function callsOf(model: LayersModel, layer: Layer): number {
  return tensorsOf(model)
    .map(({ sourceLayer }) => (sourceLayer === layer ? 1 : sourceLayer instanceof LayersModel ? callsOf(sourceLayer, layer) : 0))
    .reduce((sum: number, calls) => sum + calls, 0);
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
  if (layer instanceof NetworkLayer) return layer.network.logitBias === 0 && isReadout(layer);
  if (layer instanceof LayersModel) return isReadout(layer) && biasOf(lastLayerOf(layer)) === 0;
  if (linearClasses.has(layer.getClassName())) return true;
  const { useBias, activation, padding } = layer.getConfig();
  if (poolingClasses.has(layer.getClassName())) return padding === 'valid';
  return affineClasses.has(layer.getClassName()) && useBias === false && activation === 'linear';
}

function biasOf(layer: Layer): number {
  if (layer instanceof NetworkLayer) return layer.network.logitBias;
  return layer instanceof SumPoolLogits ? layer.logitBias : 0;
}

/** Linear but for b₀. */
function isReadout(layer: Layer): boolean {
  if (layer instanceof NetworkLayer) return takesImagesExactly(layer);
  return layer instanceof SumPoolLogits || (layer instanceof LayersModel && isExactAt(layer, inputTap));
}

/** Whether the network's first tap, where it is exact, is what the layer gets: an encoding of the images, which has a constant, has other channels. */
function takesImagesExactly({ network: { taps, inputShape } }: NetworkLayer): boolean {
  return taps[0]?.exact === true && taps[0].channels === inputShape[2];
}
