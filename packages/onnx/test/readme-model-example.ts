import { encodeModel, printGraph, trace } from '@coda-nets/onnx';
import { layersModelFunction } from '@coda-nets/onnx/layers-model';
import { layers, sequential } from '@tensorflow/tfjs-layers';

const model = sequential({
  layers: [
    layers.conv2d({ filters: 8, kernelSize: 3, strides: 2, padding: 'same', inputShape: [null, null, 3], name: 'stem' }),
    layers.globalAveragePooling2d({}),
    layers.dense({ units: 10, name: 'scores' }),
  ],
});
const { fn, signature, names } = layersModelFunction(model);
const graph = trace(fn, signature, { names });
export const bytes = encodeModel(graph); // the ONNX file

console.log(printGraph(graph).split('\n')[0]);
