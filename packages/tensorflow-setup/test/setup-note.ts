/** The note that `coda setup tensorflow` leaves in a package, of a setup that never was. */
import type { Manifest } from '../src/tensorflow-folder.ts';

export const setupNote: Manifest = {
  format: 1,
  package: '@tensorflow/tfjs-node',
  packageVersion: '4.22.0',
  tensorflow: '9.9.9',
  gpu: false,
  source: 'x',
  libraries: [],
};
