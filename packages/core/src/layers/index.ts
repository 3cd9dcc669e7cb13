/** Networks as layers of TensorFlow.js's `tf.layers`. Importing this registers the layer, so that saved models load again. */
export { networkLayer, NetworkLayer, type NetworkLayerOptions } from './network-layer.ts';
export { registerNetwork } from './network-builders.ts';
